"""openpi: models behind the websockets that its servers and clients speak.

`Policy` asks a server of openpi, as a model. `rlmesh.ModelWorker(openpi=...)` answers clients of
openpi. Needs `pip install 'rlmesh[openpi]'`; importing this module imports websockets.

Modules:
    policy: Asks a server.
    connection: The websocket to a server.
    forms: How observations and chunks stand in messages.
    packing: Messages to bytes and back.
"""

from __future__ import annotations

from rlmesh.openpi.policy import Policy

__all__ = ["Policy"]
