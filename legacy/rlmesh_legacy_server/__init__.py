"""Serves an environment of an old Python to clients of RLMesh.

It speaks RLMesh's protocol over gRPC, with numpy, grpcio and protobuf of the time of Python 3.7.
What it cannot: keep a session whose connection has broken, other transports than gRPC, several
sessions, environments in processes of their own, Unix sockets.
"""

from rlmesh_legacy_server import spaces
from rlmesh_legacy_server.server import EnvServer, ServerTLS
from rlmesh_legacy_server.version import __version__

__all__ = ["EnvServer", "ServerTLS", "__version__", "spaces"]
