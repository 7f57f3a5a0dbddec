"""How a process introduces itself to the other side, and which protocol generation it speaks."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass

from rlmesh import compiled
from rlmesh._version import __version__
from rlmesh.foreign_text import one_line
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
        implementation=compiled.describe(),
    )


def bound_names(peer: session_pb2.Peer) -> None:
    """Shortens what a peer says of itself, which a server keeps and sends in every status."""
    peer.name, peer.host, peer.version = map(one_line, (peer.name, peer.host, peer.version))
    peer.implementation = one_line(peer.implementation)


def describe(peer: session_pb2.Peer) -> str:
    """A peer in a sentence: `train.py (pid 4711 on gpu-3)`."""
    place = f"pid {peer.pid}" + (f" on {one_line(peer.host)}" if peer.host else "")
    return f"{one_line(peer.name) or 'a client'} ({place})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The client of a session, as the server describes it.

    Attributes:
        name: The program's name; empty where it has none.
        pid: Its process id.
        host: Its host's name; empty where the server does not say.
        version: The version of its RLMesh.
        seconds: For how many seconds it has had the session.
        lost_seconds: For how many seconds its connection has been broken, while its session is kept
            for it; None while it is connected.
    """

    name: str
    pid: int
    host: str
    version: str
    seconds: float
    lost_seconds: float | None

    @classmethod
    def from_proto(cls, holder: session_pb2.Holder) -> Holder:
        """Reads a server's answer."""
        peer = holder.peer
        return cls(
            name=peer.name,
            pid=peer.pid,
            host=peer.host,
            version=peer.version,
            seconds=holder.seconds,
            lost_seconds=holder.lost_seconds if holder.HasField("lost_seconds") else None,
        )

    def __str__(self) -> str:
        peer = session_pb2.Peer(name=self.name, pid=self.pid, host=self.host)
        lost = self.lost_seconds
        return f"{describe(peer)} for {self.seconds:.1f} s" + (
            "" if lost is None else f", whose connection broke {lost:.1f} s ago"
        )
