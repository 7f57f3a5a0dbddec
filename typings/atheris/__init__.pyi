# The part of atheris that fuzz/ uses, so that its types are checked where it is not installed. Not
# shipped.
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NoReturn

def Fuzz() -> NoReturn: ...
def Mutate(data: bytes, max_size: int) -> bytes: ...
def Setup(
    args: list[str],
    test_one_input: Callable[[bytes], None],
    *,
    custom_mutator: Callable[[bytes, int, int], bytes] = ...,
) -> list[str]: ...
def instrument_imports(
    include: list[str] = ..., exclude: list[str] = ..., enable_loader_override: bool = ...
) -> AbstractContextManager[None]: ...
