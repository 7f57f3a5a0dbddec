# The part of jax that rlmesh.jax and the example use, so that types are checked where jax is not
# installed. Not shipped.
from typing import Any

class Array:
    def __getattr__(self, name: str) -> Any: ...

class Device:
    platform: str
    id: int

def __getattr__(name: str) -> Any: ...
