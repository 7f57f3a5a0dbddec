# As connection.pyi.
from typing import Any

from dm_env_rpc.v1.connection import Connection

class TimeStep:
    def last(self) -> bool: ...

class DmEnvAdaptor:
    def close(self) -> None: ...
    def reset(self) -> TimeStep: ...
    def step(self, actions: dict[str, Any]) -> TimeStep: ...

def create_and_join_world(
    connection: Connection,
    create_world_settings: dict[str, Any],
    join_world_settings: dict[str, Any],
) -> tuple[DmEnvAdaptor, str]: ...
