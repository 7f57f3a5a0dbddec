# The part of Stable-Baselines3 that rlmesh.sb3 uses, so that types are checked where it is not
# installed. Not shipped.
from typing import Any

def __getattr__(name: str) -> Any: ...  # pyright: ignore[reportIncompleteStub] # tests use more
