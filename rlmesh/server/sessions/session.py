"""A session: one client's hold on an environment."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rlmesh.server.envs.slot import EnvSlot
from rlmesh.server.rpc.open_stream import OpenStream
from rlmesh.transports.listener import SECRET_BYTES
from rlmesh_api.v1 import session_pb2

if TYPE_CHECKING:
    from rlmesh.server.sessions.calls import CallReceiver


@dataclass(slots=True, eq=False)
class Session:
    """One client's hold on an environment.

    It outlives its connections: where its client resumes, it is kept for a while without any.

    Attributes:
        peer: The client.
        slot: Where its environment is.
        resumes: Whether the client comes back when its connection has broken.
        line: Its stream; None where that has broken.
        source: Where its calls come from; None until there was one, and where that is over.
        transport: The name of the transport that they came by last; empty before the first one.
        process: The process id of a client that the system tells it of; 0 for any other.
        id: The session's name in logs and status pages.
        secret: What its client shows on another transport, and to resume the session; 32 bytes.
        since: When it began, on the monotonic clock, in seconds.
        lost_since: Since when it has had no connection; None while it has one.
        sequence: The number of the last call that was executed, or is being executed.
        kept: That call's number and its answer, if the connection that it came by is over.
        rejoined: What `sequence` was when the client came back; 0 if it never did.
        in_call: Whether a call of it is being executed, or its answer is on its way.
        barred: What further calls are answered; None while they are executed.
        ended: Whether it is over, though its environment may still be in a call.
        ended_at: When it ended, on the monotonic clock, in seconds; 0 before.
        vacated: Whether its environment is given back.
        failures: How many of its calls failed.
    """

    peer: session_pb2.Peer
    slot: EnvSlot
    resumes: bool
    line: OpenStream | None
    source: CallReceiver | None = None
    transport: str = ""
    process: int = 0
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES), repr=False)
    since: float = field(default_factory=time.monotonic)
    lost_since: float | None = None
    sequence: int = 1
    kept: tuple[int, bytes] | None = field(default=None, repr=False)
    rejoined: int = 0
    in_call: bool = False
    barred: session_pb2.Failure | None = None
    ended: bool = False
    ended_at: float = 0.0
    vacated: bool = False
    failures: int = 0

    def holder(self) -> session_pb2.Holder:
        """The session as it is told to others."""
        now, lost = time.monotonic(), self.lost_since
        return session_pb2.Holder(
            peer=self.peer,
            seconds=now - self.since,
            lost_seconds=None if lost is None else now - lost,
        )

    def idle_seconds(self) -> float:
        """For how many seconds no call has come; 0 in a call."""
        thread = self.slot.thread
        if thread.running is not None:
            return 0.0
        return max(0.0, time.monotonic() - max(thread.last_used, self.since))

    def answer_to(self, sequence: int) -> bytes | None:
        """What a call was answered, if it is the last one. On the environment's thread."""
        kept = self.kept
        if (kept is None or kept[0] != sequence) and self.source is not None:
            kept = self.source.kept()
        return kept[1] if kept is not None and kept[0] == sequence else None
