"""Registers the clients with Gymnasium, as `rlmesh/Remote-v0`. Importing this module does it.

    gymnasium.make("rlmesh/Remote-v0", address="tcp://127.0.0.1:5555")
    gymnasium.make_vec("rlmesh/Remote-v0", num_envs=3, addresses=[...])

Gymnasium looks for no plugins since its version 1.0, but it imports a module that an id names:
`rlmesh.registration:rlmesh/Remote-v0`.
"""

from __future__ import annotations

from gymnasium.envs.registration import (
    register,  # pyright: ignore[reportUnknownVariableType] # its kwargs are a bare dict
    registry,
)

__all__ = ["REMOTE_ID"]

REMOTE_ID = "rlmesh/Remote-v0"
"""The id of the clients in Gymnasium's registry."""

if REMOTE_ID not in registry:
    # The environment of the server has its own wrappers. Gymnasium's would cost time at each step.
    register(
        REMOTE_ID,
        entry_point="rlmesh.client.env:RemoteEnv",
        vector_entry_point="rlmesh.client.made_by_gymnasium:remote_vector_env",
        order_enforce=False,
        disable_env_checker=True,
    )
