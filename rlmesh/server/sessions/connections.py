"""What a session knows of its connections: its stream, and the receiver of its calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rlmesh.server.sessions.endpoint import Source
from rlmesh_api.v1 import session_pb2


class SessionStream(Protocol):
    """A client's gRPC stream, as `rlmesh.server.rpc.open_stream` has it. Any thread may call."""

    @property
    def active(self) -> bool:
        """Whether the client has not ended it."""
        ...

    def cancel(self) -> None:
        """Ends it at once."""
        ...

    def supersede(self) -> None:
        """Ends it because its client goes on by another stream."""
        ...

    def say_farewell(self, failure: session_pb2.Failure, then: Callable[[], None]) -> None:
        """Sends the client the reason, ends the stream, then calls `then`. Does not wait."""
        ...

    def on_end(self, act: Callable[[], None]) -> None:
        """Has `act` called once the stream has ended."""
        ...


class Receiver(Source, Protocol):
    """Receives a session's calls for the slot's thread; see `CallReceiver`.

    Attributes:
        transport: The transport's name.
        process: The client's process id, where the system tells it, else 0.
        by_stream: Whether it reads the session's stream.
    """

    transport: str
    process: int
    by_stream: bool

    def kept(self) -> tuple[int, bytes] | None:
        """The number and the answer of the last call. Only the slot's thread, between calls."""
        ...

    def close(self) -> None:
        """Ends it at once, for both sides. Any thread may."""
        ...
