"""The worker's side of a loan: answers a client through the client's own pipe.

It executes the calls that follow each other, and leaves everything else to the server by giving the
pipe back: a repeated call, one out of order, a damaged or large message, `close`, `stats`, and the
answer to a call that has failed, which the server logs and counts. So the rules of a session stand
in one place, `rlmesh.server.sessions.calls`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
from functools import partial
from time import monotonic
from typing import TypeAlias

from google.protobuf.message import DecodeError

from rlmesh.codec.step.wire import read_action
from rlmesh.server.envs.backend import ENV
from rlmesh.server.envs.local import LocalBackend
from rlmesh.server.envs.process import loans
from rlmesh.server.envs.process.call_page import (
    AT_KIND,
    BEGIN,
    CALL_NUMBERS,
    TOTAL,
    place_of,
    write_episodes,
    write_name,
)
from rlmesh.server.failures import failure_of
from rlmesh.server.sessions.requests import Request, read_request
from rlmesh.transports.pipe import BadFrameError, WakeReason
from rlmesh.transports.shm.lending import BorrowedShmPipe
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh.transports.shm.segment import BadSegmentError
from rlmesh.transports.tcp.lending import BorrowedTcpPipe
from rlmesh_api.v1 import session_pb2

Borrowed: TypeAlias = BorrowedShmPipe | BorrowedTcpPipe
"""A pipe of the server's that this process may use."""

_begin, _write_total = BEGIN.pack_into, TOTAL.pack_into
_STEP, _AT_STEPS = CALL_NUMBERS["step"], place_of("step")


class ServerGoneError(Exception):
    """The server has ended: the worker ends too."""


class Borrower:
    """Uses the pipes that the server lends. Only the worker's main thread calls it.

    Args:
        channel: The worker's end of the socket for loans.
        page: The call page.
        backend: What executes calls.
    """

    def __init__(self, channel: socket.socket, page: mmap.mmap, backend: LocalBackend) -> None:
        self._channel = channel
        self._page = page
        self._backend = backend
        backend.note_episodes = partial(write_episodes, page)
        self._pipe: Borrowed | None = None
        self._loan = self._sequence = 0
        # How many calls there were of each kind in this loan, and how many seconds they took.
        self._totals: dict[str, tuple[int, float]] = {}
        # The number and the message of the last call that was no step in the fixed form.
        self._last_request = 0, b""
        self._failed: tuple[int, session_pb2.Failure] | None = None
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def serve(self) -> None:
        """Takes the server's message, which has come, and uses the pipe that it lends, if any.

        Raises:
            ServerGoneError: If the server has gone instead.
            SegmentRefusedError: If the last answer cannot be passed on. It dies with this process.
            SystemExit: If the environment ends the process.
        """
        message = loans.receive_in_worker(self._channel)
        if message is None:
            raise ServerGoneError
        if isinstance(message, loans.Recalled):
            return  # of a pipe that was given back a moment ago
        self._loan, self._sequence = message.loan, message.sequence
        self._failed, self._last_request = None, (0, b"")
        try:
            pipe = self._pipe = _open(message)
        except (OSError, BadSegmentError):
            # With a number that no session has had: it was not taken.
            self._give_back(loans.Returned(message.loan, 0))
            return
        pipe.watch(self._channel.fileno())
        self._totals = {}
        while self._answer_steps(pipe):
            pass
        self._end(pipe)

    def failure_of(self, sequence: int) -> session_pb2.Failure | None:
        """How a call failed that was executed already, and whose answer is left to the server."""
        failed = self._failed
        if failed is None or failed[0] != sequence:
            return None
        self._failed = None
        return failed[1]

    def forget(self) -> None:
        """Begins another session."""
        self._failed = None

    def _answer_steps(self, pipe: Borrowed) -> bool:
        """Answers steps, and one other call at most; returns whether the loan goes on."""
        receive, post, page, step = pipe.receive, pipe.post, self._page, self._backend.hot
        sequence = self._sequence
        count, spent = self._totals.get("step", (0, 0.0))
        try:
            while True:
                # The stations 5 to 10 of a step (docs/architecture.md), in the worker.
                received = receive()
                if not isinstance(received, tuple):
                    return self._is_only_news(received)
                since = monotonic()
                buffer, start, end = received
                # A copy, which the client cannot change during the checks.
                message = bytes(buffer[start:end])
                found = read_action(message)
                if found is None or found[0] != sequence + 1:
                    break
                number, action = found
                _begin(page, 0, since, number, _STEP)
                try:
                    start, end = step(number, action, pipe)
                except Exception as error:  # noqa: BLE001 - the server is to answer it
                    self._keep(number, error)
                    spent += monotonic() - since
                    _write_total(page, _AT_STEPS, since, count, spent)
                    return False
                # Before the answer, after which the client may ask the server for a status.
                count += 1
                now = monotonic()
                spent += now - since
                _write_total(page, _AT_STEPS, now, count, spent)
                page[AT_KIND] = 0
                sequence = number
                post(start, end)
        except BadFrameError:
            # The server receives it once more, and decides.
            return False
        finally:
            self._sequence = sequence
            self._totals["step"] = count, spent
        return self._answer(message, since, pipe)

    def _answer(self, message: bytes, since: float, pipe: Borrowed) -> bool:
        """Answers a call that is no step in the fixed form; False if it is left to the server."""
        try:
            request = read_request(message, ENV)
        except DecodeError:
            return False
        if request.sequence != self._sequence + 1 or request.kind not in CALL_NUMBERS:
            return False
        if request.message is not None and request.message.HasField("trace"):
            # The spans are the server's.
            return False
        return self._execute(request, message, since, pipe)

    def _execute(self, request: Request, message: bytes, since: float, pipe: Borrowed) -> bool:
        page, kind = self._page, request.kind
        if kind == "attribute":
            write_name(page, request.name)
        count, spent = self._totals.get(kind, (0, 0.0))
        _begin(page, 0, since, request.sequence, CALL_NUMBERS[kind])
        try:
            start, end = self._backend.answer(request, pipe)
        except Exception as error:  # noqa: BLE001 - the server is to answer it
            self._keep(request.sequence, error)
            self._note(kind, count, spent + monotonic() - since, since)
            return False
        now = monotonic()
        self._note(kind, count + 1, spent + now - since, now)
        page[AT_KIND] = 0
        self._sequence = request.sequence
        self._last_request = request.sequence, message
        pipe.post(start, end)
        return True

    def _note(self, kind: str, count: int, seconds: float, end: float) -> None:
        self._totals[kind] = count, seconds
        _write_total(self._page, place_of(kind), end, count, seconds)

    def _keep(self, sequence: int, error: Exception) -> None:
        """Keeps how a call failed, until the server asks for that call."""
        cause = error.__cause__
        if isinstance(cause, SystemExit):
            # The environment has this process to itself, so it may end it.
            raise cause
        self._failed = sequence, failure_of(error)

    def _is_only_news(self, reason: WakeReason) -> bool:
        """Whether the loan goes on after a wait that brought no message."""
        if reason is not WakeReason.CALLED:
            return False
        message = loans.receive_in_worker(self._channel)
        if message is None:
            raise ServerGoneError
        return message.loan != self._loan

    def _end(self, pipe: Borrowed) -> None:
        """Gives the pipe back."""
        self._page[AT_KIND] = 0
        self._pipe = None
        number, request = self._last_request
        remains = pipe.give_back(request if number == self._sequence else b"")
        try:
            self._give_back(loans.Returned(self._loan, self._sequence, remains))
        finally:
            for descriptor in (remains.request, remains.answer):
                if descriptor is not None:
                    os.close(descriptor)

    def _give_back(self, returned: loans.Returned) -> None:
        try:
            loans.give_back(self._channel, returned)
        except OSError as error:
            raise ServerGoneError from error

    def _leave_to_parent(self) -> None:
        """A process of the environment would keep the client's connection, and the server's."""
        self._channel.close()
        if self._pipe is not None:
            self._pipe.leave_to_parent()


def _open(message: loans.Lent) -> Borrowed:
    """The pipe that the server lends.

    Raises:
        OSError: If this process may open no more descriptors.
        BadSegmentError: As above, for memory.
    """
    descriptors, plan = message.descriptors, SegmentLayout(*message.areas)
    with contextlib.ExitStack() as undo:
        for descriptor in descriptors:
            undo.callback(os.close, descriptor)
        if len(descriptors) != (2 if plan.request else 1):
            raise OSError("this process may open no more descriptors")
        undo.pop_all()
    sock = socket.socket(fileno=descriptors[0])
    if not plan.request:
        return BorrowedTcpPipe(sock)
    try:
        return BorrowedShmPipe(sock, descriptors[1], plan)
    except BaseException:
        sock.close()
        raise
