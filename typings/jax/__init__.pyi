# The part of jax that rlmesh.jax and the example use, so that types are checked where jax is not
# installed. Not shipped.
from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])

class Array:
    def __getattr__(self, name: str) -> Any: ...

class Device:
    platform: str
    id: int

def jit(function: _Function) -> _Function: ...
def __getattr__(name: str) -> Any: ...
