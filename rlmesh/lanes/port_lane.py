"""A client's lane over a port: shared memory, or a connection of its own."""

from __future__ import annotations

from rlmesh.errors import ConnectionLostError, ProtocolError, RlmeshError
from rlmesh.lanes.grpc_lane import GrpcLane
from rlmesh.lanes.lane import Wait, closed_meanwhile, late
from rlmesh.lanes.port import BadFrameError, Port, Received, Woken


class PortLane:
    """Messages of a session through a port; see `Lane`.

    Args:
        name: The lane's name.
        port: The client's end.
        stream: The session's stream, which knows why the session ended.
        address: The endpoint's address, for messages.
        patience: For how many seconds the stream is asked why the lane has ended.
    """

    def __init__(
        self, name: str, port: Port, stream: GrpcLane, address: str, patience: float = 1.0
    ) -> None:
        self.name = name
        self._patience = patience
        self._port = port
        self._send, self._receive = port.send, port.receive
        self._stream = stream
        self._address = address
        # Plain flags, as each side sets its own before it looks at the other's.
        self._closed = False
        self._in_use = False
        # Whether an answer may be on its way; the port knows.
        self._unsure = False

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends a request; see `Lane`."""
        # A deadline or Ctrl-C ended the wait for an answer: it is taken before the next call goes.
        if self._unsure and self._port.owed:
            self.take(0, wait)
        self._unsure = True
        self._send(message)

    def take(self, sequence: int, wait: Wait) -> Received:
        """Waits for the answer; see `Lane`."""
        self._in_use = True
        try:
            # A port that another thread has given back must not be waited for.
            received = Woken.GONE if self._closed else self._receive(wait.deadline)
        except BadFrameError as error:
            raise self._bad(error) from error
        finally:
            self._in_use = False
            if self._closed:
                self._port.release()
        if not isinstance(received, tuple):
            raise self._why(received, wait)
        self._unsure = False
        return received

    def _bad(self, error: BadFrameError) -> ProtocolError:
        # Nothing that comes after it can be trusted, or may be waited for.
        self._port.close()
        return ProtocolError(f"{self._address} sent what cannot be: {error}")

    def _why(self, woken: Woken, wait: Wait) -> RlmeshError:
        if woken is Woken.LATE:
            return late(wait, self._address)
        if self._closed:
            return closed_meanwhile(wait, self._address)
        return self._stream.end(self._patience) or ConnectionLostError(
            f"{wait.call}: the server at {self._address} left the lane {self.name}, or the network "
            f"failed"
        )

    def close(self) -> None:
        """Ends the lane; the server notices at once. May be called repeatedly."""
        self._closed = True
        self._port.close()
        # A call that is under way on another thread gives the socket back when it returns.
        if not self._in_use:
            self._port.release()

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's lane, which goes on."""
        self._port.leave_to_parent()
