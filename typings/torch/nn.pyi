from collections.abc import Iterator
from typing import Any

from torch import Tensor

class Module:
    def __call__(self, value: Tensor, /) -> Tensor: ...
    def parameters(self) -> Iterator[Tensor]: ...

class Linear(Module):
    def __init__(self, in_features: int, out_features: int) -> None: ...

class Sequential(Module):
    def __init__(self, *modules: Module) -> None: ...

class Tanh(Module): ...

def __getattr__(name: str) -> Any: ...  # pyright: ignore[reportIncompleteStub] # of the trainers
