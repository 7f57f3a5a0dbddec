"""Who this process is, and how two protocol generations agree."""

from __future__ import annotations

import os
import socket
import sys

from rlmesh._version import __version__
from rlmesh_api.v1 import session_pb2

# One more with every change of the conversation that an older peer would misunderstand.
PROTOCOL_GENERATION = 1


def this_peer() -> session_pb2.Peer:
    """This process, as it introduces itself to the other side."""
    return session_pb2.Peer(
        name=os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python",
        pid=os.getpid(),
        host=socket.gethostname(),
        version=__version__,
    )


def describe(peer: session_pb2.Peer) -> str:
    """A peer in a sentence: `train.py (pid 4711 on gpu-3)`."""
    place = f"pid {peer.pid}" + (f" on {peer.host}" if peer.host else "")
    return f"{peer.name or 'a client'} ({place})"
