# As websocket_client_policy.pyi.
from typing import Any

class Packer:
    def pack(self, value: Any) -> bytes: ...

def unpackb(message: bytes | str) -> Any: ...
