"""The calls of one session, as they come through a port."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rlmesh.lanes.port import Outbox
from rlmesh.server.costs import Cost
from rlmesh.server.refusals import failure_of, out_of_order
from rlmesh.server.requests import Answered, Request, failed_so, write_answer
from rlmesh.server.session import Session
from rlmesh.server.source import PortSource
from rlmesh_api.v1 import session_pb2

if TYPE_CHECKING:
    from rlmesh.server.desk import Desk

_log = logging.getLogger("rlmesh.server")

_CLIENTS_FAULT = (
    session_pb2.ERROR_CODE_PROTOCOL,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT,
    session_pb2.ERROR_CODE_INVALID_ACTION,
)

# After these a client and its server have no common ground.
_ENDS = (session_pb2.ERROR_CODE_PROTOCOL, session_pb2.ERROR_CODE_INTERNAL)

# What must not be executed after a call that never came; a reset mends that, the rest only looks.
_BUILDS_ON = ("step", "step_many")


class PortCalls:
    """Answers the calls of a session that come through a port; see `Calls`.

    Each call reaches the environment once: one that is repeated, as its answer was lost with a
    connection, is answered from what was kept.

    Args:
        desk: Who gives environments to clients.
        session: The session, which has begun.
        by_stream: Whether the port is the session's stream.
    """

    def __init__(self, desk: Desk, session: Session, *, by_stream: bool = False) -> None:
        self._desk = desk
        self._session = session
        self._by_stream = by_stream
        tenant = self._tenant = session.room.tenant
        self._step = tenant.step
        self._cost = self._cost_of_steps = tenant.costs.of("step")

    def step(self, sequence: int, action: bytes, outbox: Outbox) -> Answered:
        """Executes a step with an action's slab, and writes the answer."""
        session = self._session
        # Each side sets its own flag before it looks at the other's; see `Desk.drain`.
        session.in_call = True
        if session.barred is not None or sequence != session.sequence + 1:
            told = self._unusual("step", sequence, outbox)
            if told is not None:
                return told
        session.sequence = sequence
        self._cost = self._cost_of_steps
        try:
            start, end = self._step(sequence, action, outbox)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hang its client
            return self._failed("step", sequence, failure_of(error), outbox)
        return start, end, False

    def answer(self, request: Request, outbox: Outbox) -> Answered:
        """Executes a call, and writes the answer."""
        session, sequence = self._session, request.sequence
        session.in_call = True
        if session.barred is not None or sequence != session.sequence + 1:
            told = self._unusual(request.kind, sequence, outbox)
            if told is not None:
                return told
        session.sequence = sequence
        self._cost = self._tenant.costs.of(request.kind)
        try:
            if request.kind == "close":
                closed = session_pb2.CloseResult()
                response = session_pb2.SessionResponse(sequence=sequence, close=closed)
                # The next client may come as soon as this one knows that it has closed.
                self._desk.vacate(session)
                return *write_answer(response, outbox), True
            return *self._tenant.answer(request, outbox), False
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(request.name, sequence, failure_of(error), outbox)

    def answered(self, seconds: float) -> bool:
        """Notes that an answer has left after that time; whether there may be further calls."""
        session, cost = self._session, self._cost
        session.in_call = False
        cost.count += 1
        cost.server += seconds
        if session.barred is None:
            return True
        # The stream as a port ends by itself, after its last answer.
        if session.line is not None and not self._by_stream:
            session.line.cancel()
        return False

    def end(self) -> None:
        """Ends the session, whose client cannot be understood or has said so."""
        self._desk.end(self._session, by_stream=self._by_stream)

    def lost(self, source: PortSource) -> None:
        """Notes that a source is over."""
        self._desk.lost(self._session, source)

    def _unusual(self, kind: str, sequence: int, outbox: Outbox) -> Answered | None:
        """The answer to a call that may not be the next one; None if it is to be executed."""
        session = self._session
        self._cost = Cost()
        if session.barred is not None:
            return *write_answer(failed_so(sequence, session.barred), outbox), False
        last = session.sequence
        kept = session.answer_to(sequence) if sequence == last else None
        if kept is not None:
            start = outbox.reserved
            end = start + len(kept)
            outbox.room(end)[start:end] = kept
            return start, end, False
        # Numbers have gaps: a client may have given up a call before it sent it.
        lost = session.rejoined == last and sequence > last + 1 and kind in _BUILDS_ON
        if sequence > last and not lost:
            return None
        return self._failed(kind, sequence, out_of_order(sequence, last), outbox)

    def _failed(
        self, name: str, sequence: int, failure: session_pb2.Failure, outbox: Outbox
    ) -> Answered:
        session = self._session
        session.failures += 1
        # What the client did wrong is his to mend; what the environment did is its author's.
        _log.log(
            logging.WARNING if failure.code in _CLIENTS_FAULT else logging.ERROR,
            "session %s, call %d (%s): %s%s",
            session.id,
            sequence,
            name,
            failure.message,
            f"\n{failure.traceback}" if failure.traceback else "",
        )
        return *write_answer(failed_so(sequence, failure), outbox), failure.code in _ENDS
