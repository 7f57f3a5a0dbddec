"""Clients whose values are NumPy's: the ones that `rlmesh` exports."""

from rlmesh.client.env import RemoteEnv
from rlmesh.client.vector_env import RemoteVectorEnv

__all__ = ["RemoteEnv", "RemoteVectorEnv"]
