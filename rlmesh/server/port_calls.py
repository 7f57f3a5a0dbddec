"""The calls of one session, as they come through a port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlmesh.lanes.port import Outbox
from rlmesh.server.refusals import giving_up, refusing
from rlmesh.server.requests import Answered, Request, write_answer
from rlmesh.server.session import Session

if TYPE_CHECKING:
    from rlmesh.server.desk import Desk


class PortCalls:
    """Answers the calls of a session that come through a port; see `Calls`.

    Args:
        desk: Who gives the environment to clients.
        session: The session.
        by_stream: Whether the port is the session's stream.
    """

    def __init__(self, desk: Desk, session: Session, *, by_stream: bool = False) -> None:
        self._desk = desk
        self._session = session
        self._by_stream = by_stream

    def step(self, sequence: int, action: bytes, outbox: Outbox) -> Answered:
        """Executes a step with an action's slab, and writes the answer."""
        session = self._session
        session.in_call = session.in_port_call = True
        if self._desk.draining or session.gone:
            return *write_answer(refusing(sequence), outbox), False
        return self._desk.step(session, sequence, action, outbox)

    def answer(self, request: Request, outbox: Outbox) -> Answered:
        """Executes a call, and writes the answer."""
        session = self._session
        # Each side sets its own flag before it looks at the other's; see `drain` and `close`.
        session.in_call = session.in_port_call = True
        if self._desk.draining or session.gone:
            return *write_answer(refusing(request.sequence), outbox), False
        answered = self._desk.perform(session, request, outbox)
        if request.name == "close" and answered[2]:
            # The next client may come as soon as this one knows that it has closed.
            session.source, session.in_port_call = None, False
            self._desk.close(session)
        return answered

    def give_up(self, name: str, sequence: int, outbox: Outbox) -> Answered:
        """Writes the answer to a call that a shutdown does not wait for any longer."""
        return *write_answer(giving_up(Request(name, sequence)), outbox), False

    def answered(self, seconds: float) -> bool:
        """Notes that an answer has left after that time; whether there may be further calls."""
        session = self._session
        session.took(seconds)
        session.in_port_call = False
        going = self._desk.answered(session)
        if not (going or self._by_stream):
            # Its stream has waited for the last call, to tell the client why there are no more.
            session.context.cancel()
        return going

    def end(self) -> None:
        """Ends the session, whose client cannot be understood or has said so."""
        # The stream as a port ends by itself, after its last answer.
        if not self._by_stream:
            self._session.context.cancel()
