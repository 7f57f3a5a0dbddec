"""Lends a client's pipe to the worker, which then answers the client without the server.

The slot's thread waits here meanwhile. It gets the pipe back when the worker has a call that it
leaves to the server, when the client has gone, when the server has something to do with the
environment, and when the worker dies: the server has its own descriptors of the pipe, and goes on
where the worker stopped.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time

from google.protobuf.message import DecodeError

from rlmesh.server.envs.backend import ENV
from rlmesh.server.envs.process import loans
from rlmesh.server.envs.process.call_page import CALL_NUMBERS, NotedCall
from rlmesh.server.envs.process.env_worker import EnvWorker
from rlmesh.server.envs.process.lending import Lending
from rlmesh.server.sessions.requests import Request, read_request
from rlmesh.transports.lending import LendablePipe, Remains
from rlmesh.transports.shm.segment import BadSegmentError
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")

# For how long a worker that is in no call may keep a pipe that the server wants back, in seconds.
_RECALL_SECONDS = 10.0
# How often the server looks whether such a worker is in a call, in seconds.
_LOOK_SECONDS = 1.0


class Loan:
    """One pipe, lent to one worker. The slot's thread makes and uses it, except where noted.

    Args:
        worker: The worker.
        lending: The channel to it, and its page.
        pipe: The pipe.
        sequence: The number of the session's last call.

    Attributes:
        sequence: The number of the last call that was executed, once `wait` has returned.
        in_call: The call in which the worker died; None if it did not, or died between calls.
        request: The request of that call; empty if it is not known.
        complete: Whether the answer to the last call is known in this process. It is not if the
            worker died with it.
    """

    def __init__(
        self, worker: EnvWorker, lending: Lending, pipe: LendablePipe, sequence: int
    ) -> None:
        self.sequence: int = sequence
        self.request: bytes = b""
        self.in_call: NotedCall | None = None
        self.complete: bool = True
        self._worker = worker
        self._page = lending.page
        self._channel = lending.channel
        self._pipe = pipe
        self._number = lending.next_number()
        self._recalled_at: float | None = None
        # The number of the request that is not answered, and since when the server knows of it.
        self._waiting: tuple[int, float] | None = None

    def begin(self) -> bool | None:
        """Offers the pipe to the worker.

        Returns:
            Whether it could; None if only this pipe cannot be lent, at this moment.
        """
        offer = self._pipe.lend()
        if offer is None:
            return None
        areas, descriptors = offer
        self._page.clear()
        try:
            loans.lend(self._channel, loans.Lent(self._number, self.sequence, areas, descriptors))
        except OSError as error:
            _log.warning(
                "calls to the environment's process cross the server, because the system passes no "
                "descriptor on: %s",
                error,
            )
            self._pipe.take_back(Remains())
            return False
        return True

    def wait(self, wake_fd: int, timeout: float | None) -> bool:
        """Waits until the pipe is back; returns whether the worker still uses loans.

        Args:
            wake_fd: Asks for the pipe when it is readable.
            timeout: For how many seconds a call may last before the worker is killed; None: for
                ever.
        """
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        lifeline = self._worker.lifeline
        if lifeline is not None:
            poll.register(lifeline, select.POLLIN)
        poll.register(wake_fd, select.POLLIN)
        while True:
            seconds = self._look(timeout)
            ready = dict(poll.poll(None if seconds is None else 1000 * seconds))
            if self._channel.fileno() in ready:
                returned = self._receive()
                if returned is not None:
                    return self._take_back(returned)
            if lifeline in ready or ready.get(self._channel.fileno(), 0) & select.POLLHUP:
                self._take_over()
                return True
            if wake_fd in ready and self._recalled_at is None:
                poll.unregister(wake_fd)
                loans.recall(self._channel, self._number)
                self._recalled_at = time.monotonic()

    def call(self) -> NotedCall | None:
        """The call that the worker is in, or that has come and that it has not begun yet.

        Any thread may ask.
        """
        noted = self._page.call()
        message = self._pipe.unanswered()
        if message is None:
            self._waiting = None
            return noted
        request = _read(message)
        waiting = self._waiting
        if waiting is None or waiting[0] != request.sequence:
            waiting = self._waiting = request.sequence, time.monotonic()
        if noted is None:
            return NotedCall(request.name, max(1, request.sequence), waiting[1])
        # A worker cannot make a call look younger than the server knows it to be.
        return noted._replace(since=min(noted.since, waiting[1]))

    def _look(self, timeout: float | None) -> float | None:
        """Ends a worker that takes too long; returns in how many seconds to look again."""
        recalled_at = self._recalled_at
        if timeout is None and recalled_at is None:
            return None
        now, call = time.monotonic(), self.call()
        if timeout is not None and call is not None:
            rest = call.since + timeout - now
            if rest > 0:
                return min(rest, _LOOK_SECONDS)
            self._worker.abandon(f"the client does not wait for longer than {timeout:g} s")
        elif recalled_at is not None and call is None and now - recalled_at >= _RECALL_SECONDS:
            self._worker.kill(
                f"it did not give its client's connection back within {_RECALL_SECONDS:g} s"
            )
        # A request that the worker does not begin ages from the first look that finds it.
        return _LOOK_SECONDS if timeout is None else min(_LOOK_SECONDS, timeout / 4)

    def _receive(self) -> loans.Returned | None:
        try:
            returned = loans.receive_in_server(self._channel)
        except loans.BadLoanError as error:
            self._worker.kill(f"it sent what cannot be: {error}")
            return None
        if returned is None or returned.loan == self._number:
            return returned
        _close(returned.remains)
        return None

    def _take_back(self, returned: loans.Returned) -> bool:
        """Goes on after a worker that has stopped by itself; whether it took the pipe at all."""
        pipe, remains = self._pipe, returned.remains
        try:
            pipe.take_back(remains)
        except BadSegmentError as error:
            self._worker.kill(f"it sent what cannot be: {error}")
            pipe.close()
        finally:
            _close(remains)
        self._advance(returned.sequence)
        if pipe.unanswered() is None:
            self.request = pipe.last_request()
        return returned.sequence >= self.sequence

    def _take_over(self) -> None:
        """Goes on after a worker that has died."""
        call, pipe = self._page.call(), self._pipe
        answered = self._page.sequence - (call is not None) > self.sequence
        pipe.take_over(None if call is None else _stands_for(call), answered=answered)
        message = pipe.unanswered()
        if message is None:
            self._advance(self._page.sequence)
            self.request = pipe.last_request()
            return
        self.in_call = call
        sequence = _read(message).sequence - 1 if message else self._page.sequence - 1
        self.sequence = max(self.sequence, sequence)

    def _advance(self, sequence: int) -> None:
        """Notes the last call that the worker answered; that answer may have died with it."""
        if sequence > self.sequence:
            self.sequence = sequence
            self.complete = self._pipe.last() != b""


def _close(remains: Remains) -> None:
    for descriptor in (remains.request, remains.answer):
        if descriptor is not None:
            os.close(descriptor)


def _stands_for(call: NotedCall) -> bytes:
    """A request of the call's number and kind; it is answered, and not executed again."""
    request = session_pb2.SessionRequest(sequence=call.sequence)
    getattr(request, call.name if call.name in CALL_NUMBERS else "attribute").SetInParent()
    return request.SerializeToString()


def _read(message: bytes) -> Request:
    """A request that the worker has not begun; nameless where it cannot be read yet."""
    with contextlib.suppress(DecodeError):
        if message:
            return read_request(message, ENV)
    return Request("call", 0, "no call")
