"""A client's transport over a pipe: shared memory, or its own TCP connection."""

from __future__ import annotations

from rlmesh.codec.slab.protocols import Writable
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
        report_seconds: How long it waits for the stream to say why the pipe has ended.
    """

    def __init__(
        self,
        name: str,
        pipe: Pipe,
        stream: GrpcTransport,
        address: str,
        report_seconds: float = 1.0,
    ) -> None:
        self.name = name
        self._report_seconds = report_seconds
        self._pipe = pipe
        self._send, self._receive = pipe.send, pipe.receive
        self._stream = stream
        self._address = address
        # No lock guards these. `close` sets `_closed` before it reads `_in_use`, and `take` sets
        # `_in_use` before it reads `_closed`: at least one of the two releases the pipe.
        self._closed = False
        self._in_use = False
        # Whether an answer may be on its way; `answer_pending` says exactly.
        self._unsure = False

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends a request; see `Transport`."""
        # A deadline or Ctrl-C ended the wait for an answer: take that answer before the next call.
        if self._unsure and self._pipe.answer_pending:
            self.take(0, wait)
        self._unsure = True
        self._send(message)

    def reserve(self, nbytes: int, wait: Wait) -> Writable:
        """A buffer in which a request may be written; see `Transport`."""
        # As in `post`: the server may still read what stands there.
        if self._unsure and self._pipe.answer_pending:
            self.take(0, wait)
        return self._pipe.reserve(nbytes)

    def post_written(self, start: int, end: int) -> None:
        """Sends the request between two offsets of that buffer; see `Transport`."""
        self._unsure = True
        self._pipe.post(start, end)

    def posted(self) -> bytes:
        """The request that was written in place and sent last; see `Transport`."""
        return self._pipe.last()

    def take(self, sequence: int, wait: Wait) -> Received:
        """Waits for the answer; see `Transport`."""
        self._in_use = True
        try:
            # Another thread may have released the pipe, which cannot be waited on then.
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
        # Nothing after a broken frame can be trusted.
        self._pipe.close()
        return ProtocolError(f"{self._address} sent a broken frame: {error}")

    def _why(self, woken: WakeReason, wait: Wait) -> RlmeshError:
        if woken is WakeReason.LATE:
            return late(wait, self._address)
        if self._closed:
            return closed_meanwhile(wait, self._address)
        return self._stream.end(self._report_seconds) or ConnectionLostError(
            f"{wait.call}: the server at {self._address} left the transport {self.name}, or the "
            f"network failed"
        )

    def close(self) -> None:
        """Ends the transport; the server notices at once. Any thread may call it, repeatedly."""
        self._closed = True
        self._pipe.close()
        # A call that is in progress on another thread releases the pipe when it returns.
        if not self._in_use:
            self._pipe.release()

    def leave_to_parent(self) -> None:
        """Closes what a forked process has inherited of the transport; the parent's goes on."""
        self._pipe.leave_to_parent()
