"""A session over shared memory: its calls come to the environment's own thread, with no hop."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

from google.protobuf.message import DecodeError

from rlmesh.lanes.bell import Woken
from rlmesh.lanes.port import BadFrameError, Plan, Port
from rlmesh.server.host import HostedCall, call_name
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")


class MemorySource:
    """Receives a session's calls through a port; see `Source`.

    Args:
        sock: The server's end of the Unix socket.
        descriptor: The segment.
        plan: How it is divided.
        answer: Executes a call on this thread and gives its answer.
        give_up: The answer to a call that a shutdown does not wait for any longer.
        answered: Notes that an answer has left; whether there may be further calls.
    """

    def __init__(
        self,
        sock: socket.socket,
        descriptor: int,
        plan: Plan,
        answer: Callable[[session_pb2.SessionRequest], session_pb2.SessionResponse],
        give_up: Callable[[session_pb2.SessionRequest], session_pb2.SessionResponse],
        answered: Callable[[], bool],
    ) -> None:
        self.over = False
        self._lock = threading.Lock()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._port = Port(sock, descriptor, plan, client=False, also=self._bell)
        self._answer = answer
        self._give_up = give_up
        self._answered = answered

    def receive(self) -> HostedCall | None:
        """The next call; None if it is over, or the host is wanted for something else."""
        try:
            message = self._port.receive()
            if isinstance(message, bytes):
                request = session_pb2.SessionRequest.FromString(message)
                return _MemoryCall(request, self._answer, self._give_up, self._send)
            if message is Woken.CALLED:
                os.eventfd_read(self._bell)
                return None
        except (BadFrameError, DecodeError) as error:
            _log.warning("a session ends, for its client sent what cannot be: %s", error)
        self.release()
        return None

    def ring(self) -> None:
        """Ends a `receive` that waits. Any thread may."""
        with self._lock:
            if not self.over:
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Ends it; the client and a `receive` that waits notice at once. Any thread may."""
        self._port.close()

    def release(self) -> None:
        """Ends it for good; only the thread that receives may."""
        with self._lock:
            if not self.over:
                self.over = True
                os.close(self._bell)
        self._port.release()

    def _send(self, response: session_pb2.SessionResponse) -> None:
        self._port.send(response.SerializeToString())
        if not self._answered():
            self._port.close()


class _MemoryCall(HostedCall):
    """A call whose answer leaves through the port, where nobody waits for it."""

    __slots__ = ("_give_up_answer", "_once", "_request", "_send")

    def __init__(
        self,
        request: session_pb2.SessionRequest,
        answer: Callable[[session_pb2.SessionRequest], session_pb2.SessionResponse],
        give_up: Callable[[session_pb2.SessionRequest], session_pb2.SessionResponse],
        send: Callable[[session_pb2.SessionResponse], None],
    ) -> None:
        super().__init__(lambda: answer(request), call_name(request), request.sequence)
        self._request = request
        self._give_up_answer = give_up
        self._send = send
        # Taken by whoever answers: the host when the call has returned, or a shutdown before.
        self._once = threading.Lock()

    def finish(self) -> None:
        """Sends the answer."""
        super().finish()
        if self._once.acquire(blocking=False):
            try:
                response = self.wait()
            except BaseException:  # noqa: BLE001 - interrupted by a shutdown, outside of the environment
                response = self._give_up_answer(self._request)
            self._send(response)

    def give_up(self) -> None:
        """Sends the answer though the call has not returned."""
        if self._once.acquire(blocking=False):
            self._send(self._give_up_answer(self._request))
