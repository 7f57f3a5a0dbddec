# As websocket_client_policy.pyi.
from typing import Any

from openpi_client.websocket_client_policy import WebsocketClientPolicy

class ActionChunkBroker:
    def __init__(self, policy: WebsocketClientPolicy, action_horizon: int) -> None: ...
    def infer(self, obs: dict[str, Any]) -> dict[str, Any]: ...
