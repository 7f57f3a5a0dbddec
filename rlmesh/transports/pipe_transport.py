"""A client's transport over a pipe: shared memory, or a connection of its own."""

from __future__ import annotations

from rlmesh.errors import ConnectionLostError, ProtocolError, RlmeshError
from rlmesh.transports.grpc.transport import GrpcTransport
from rlmesh.transports.pipe import BadFrameError, Pipe, Received, WakeReason
from rlmesh.transports.transport import Wait, closed_meanwhile, late


class PipeTransport:
    """Messages of a session through a pipe; see `Transport`.

    Args:
        name: The transport's name.
        pipe: The client's end.
        stream: The session's stream, which knows why the session ended.
        address: The endpoint's address, for messages.
        patience: For how many seconds the stream is asked why the transport has ended.
    """

    def __init__(
        self, name: str, pipe: Pipe, stream: GrpcTransport, address: str, patience: float = 1.0
    ) -> None:
        self.name = name
        self._spin_policy = patience
        self._pipe = pipe
        self._send, self._receive = pipe.send, pipe.receive
        self._stream = stream
        self._address = address
        # Plain flags, as each side sets its own before it looks at the other's.
        self._closed = False
        self._in_use = False
        # Whether an answer may be on its way; the pipe knows.
        self._unsure = False

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends a request; see `Transport`."""
        # A deadline or Ctrl-C ended the wait for an answer: it is taken before the next call goes.
        if self._unsure and self._pipe.answer_pending:
            self.take(0, wait)
        self._unsure = True
        self._send(message)

    def take(self, sequence: int, wait: Wait) -> Received:
        """Waits for the answer; see `Transport`."""
        self._in_use = True
        try:
            # A pipe that another thread has given back must not be waited for.
            received = WakeReason.GONE if self._closed else self._receive(wait.deadline)
        except BadFrameError as error:
            raise self._bad(error) from error
        finally:
            self._in_use = False
            if self._closed:
                self._pipe.release()
        if not isinstance(received, tuple):
            raise self._why(received, wait)
        self._unsure = False
        return received

    def _bad(self, error: BadFrameError) -> ProtocolError:
        # Nothing that comes after it can be trusted, or may be waited for.
        self._pipe.close()
        return ProtocolError(f"{self._address} sent what cannot be: {error}")

    def _why(self, woken: WakeReason, wait: Wait) -> RlmeshError:
        if woken is WakeReason.LATE:
            return late(wait, self._address)
        if self._closed:
            return closed_meanwhile(wait, self._address)
        return self._stream.end(self._spin_policy) or ConnectionLostError(
            f"{wait.call}: the server at {self._address} left the transport {self.name}, or the "
            "network "
            f"failed"
        )

    def close(self) -> None:
        """Ends the transport; the server notices at once. May be called repeatedly."""
        self._closed = True
        self._pipe.close()
        # A call that is under way on another thread gives the socket back when it returns.
        if not self._in_use:
            self._pipe.release()

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's transport, which goes on."""
        self._pipe.leave_to_parent()
