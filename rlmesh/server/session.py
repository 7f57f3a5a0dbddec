"""Sessions: who holds the environment, and what each of its calls is answered."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError

from rlmesh.contract import AutoresetMode
from rlmesh.lanes.door import SECRET_BYTES
from rlmesh.lanes.peer import PROTOCOL_GENERATION
from rlmesh.lanes.port import Outbox, Port
from rlmesh.lanes.stream_outbox import StreamOutbox
from rlmesh.server.costs import Cost
from rlmesh.server.failures import CallFailedError, env_raised, failed
from rlmesh.server.host import Host, HostStoppedError
from rlmesh.server.requests import (
    Answered,
    Request,
    damaged,
    failed_so,
    read_request,
    write_answer,
)
from rlmesh.server.served_env import ServedEnv
from rlmesh.server.source import PortSource
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")

_CLIENTS_FAULT = (
    session_pb2.ERROR_CODE_PROTOCOL,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT,
    session_pb2.ERROR_CODE_INVALID_ACTION,
)


# After these a client and its server have no common ground.
_ENDS = (session_pb2.ERROR_CODE_PROTOCOL, session_pb2.ERROR_CODE_INTERNAL)

Attach: TypeAlias = Callable[[Callable[[int], Port]], None]
"""Takes what makes a session's port, given a descriptor that shall end its waits as well."""


@dataclass(slots=True)
class Session:
    """One client's hold on the environment.

    Attributes:
        peer: The client.
        context: Its stream.
        id: The session's name in logs and status pages.
        since: When it began, on the monotonic clock, in seconds.
        in_call: Whether a call of it is being executed, or its answer is on its way.
        secret: What its client shows on another lane; 32 bytes.
        source: Where its calls come from on another lane, if it uses one.
        in_port_call: Whether `in_call` is about a call on that lane.
        cost: What the calls of the kind of the one in progress have cost.
        gone: Whether its client has left.
    """

    peer: session_pb2.Peer
    context: grpc.ServicerContext
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    since: float = field(default_factory=time.monotonic)
    in_call: bool = False
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES), repr=False)
    source: PortSource | None = None
    in_port_call: bool = False
    gone: bool = False
    cost: Cost = field(default_factory=Cost, repr=False)

    def holder(self) -> session_pb2.Holder:
        """The session as it is told to others."""
        return session_pb2.Holder(peer=self.peer, seconds=time.monotonic() - self.since)

    def took(self, seconds: float) -> None:
        """Notes how long the server had the call in progress."""
        self.cost.count += 1
        self.cost.server += seconds


class Desk:
    """Gives the environment to one session at a time and answers its calls."""

    def __init__(self, env: ServedEnv, host: Host) -> None:
        self._env = env
        self._host = host
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._free = threading.Event()
        self._free.set()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether no new session and no new call is taken."""
        return self._draining

    def holder(self) -> session_pb2.Holder | None:
        """Who holds the environment, if anybody does."""
        session = self._session
        return session.holder() if session else None

    def open(self, call: session_pb2.OpenCall, context: grpc.ServicerContext) -> Session:
        """Gives the environment to a client.

        Raises:
            CallFailedError: If somebody else holds it, the server is draining, the client speaks
                no generation that this server knows, or asks for an autoreset mode that cannot be
                had.
        """
        if call.protocol_generation < 1:
            raise failed(
                session_pb2.ERROR_CODE_INCOMPATIBLE,
                f"the client speaks protocol generation {call.protocol_generation}, this server "
                f"1 to {PROTOCOL_GENERATION}; upgrade the older of the two",
            )
        mode = _mode(call)
        with self._lock:
            if self._draining:
                raise _draining()
            if self._session is not None:
                raise CallFailedError(
                    session_pb2.Failure(
                        code=session_pb2.ERROR_CODE_BUSY,
                        message="another client holds the environment",
                        holder=self._session.holder(),
                    )
                )
            session = self._session = Session(call.peer, context)
            self._free.clear()
        try:
            self._host.call(
                lambda: self._env.begin_session(mode, as_vector=call.as_vector), name="open"
            )
        except BaseException as error:
            self.close(session)
            if isinstance(error, CallFailedError):
                raise
            if isinstance(error, HostStoppedError):
                raise _draining() from error
            raise env_raised("beginning a session with the environment", error) from error
        _log.info("session %s of %s begins", session.id, call.peer.name)
        return session

    def close(self, session: Session) -> None:
        """Takes the environment back once it is in no call. May be called repeatedly."""
        with self._lock:
            session.gone = True
            source = session.source
            # On the stream the caller has waited for the call; on shared memory nobody does.
            if self._session is not session or session.in_port_call:
                ended = False
            else:
                self._session, ended = None, True
                # It knows the session: two that hold each other keep their memory for long.
                session.source = None
                self._free.set()
        if source is not None:
            source.close()
        if ended:
            _log.info("session %s ends", session.id)

    def answer(self, session: Session, message: bytes) -> tuple[bytes, bool]:
        """Has the host execute a call; the answer, and whether the session ends with it."""
        outbox = StreamOutbox()
        try:
            request = read_request(message)
        except DecodeError as error:
            return failed_so(0, damaged(error).failure).SerializeToString(), True
        if not self._enter(session):
            return _refusing(request.sequence).SerializeToString(), False
        try:
            start, end, over = self._host.call(
                lambda: self.perform(session, request, outbox),
                name=request.name,
                sequence=request.sequence,
            )
        except HostStoppedError:
            return _giving_up(request).SerializeToString(), False
        if request.name == "close" and over:
            # The next client may come as soon as this one knows that it has closed.
            self.close(session)
        return outbox.message(start, end), over

    def admit(self, secret: bytes) -> Attach | None:
        """What takes a port for the session with that secret; None if there is no such one."""
        session = self._session
        if session is None or not secrets.compare_digest(session.secret, secret):
            return None
        return lambda make_port: self.attach(
            session, PortSource(make_port, PortCalls(self, session))
        )

    def attach(self, session: Session, source: PortSource) -> None:
        """Has the host take a session's calls from a source, unless it has one, or is gone."""
        with self._lock:
            welcome = self._session is session and session.source is None and not self._draining
            if welcome:
                session.source = source
        try:
            if welcome:
                self._host.attach(source)
                return
        except HostStoppedError:
            _log.debug("session %s comes too late", session.id)
        source.release()

    def answered(self, session: Session) -> bool:
        """Notes that an answer has left; whether there may be further calls."""
        session.in_call = False
        if session.gone:
            self.close(session)
            return False
        return not self._draining

    def drain(self) -> None:
        """Takes no more calls, and ends the stream of a session that is not in one."""
        with self._lock:
            self._draining = True
            session = self._session
            source = session.source if session is not None else None
            idle = session is not None and not session.in_call
        if session is not None and idle:
            session.context.cancel()
            if source is not None:
                source.close()

    def _enter(self, session: Session) -> bool:
        """Notes that a session is in a call, until `answered`; whether it may be."""
        with self._lock:
            session.in_call = not self._draining
            return session.in_call

    def wait_until_free(self, seconds: float) -> None:
        """Waits until nobody holds the environment, so that the last answer has left."""
        self._free.wait(seconds)

    def step(self, session: Session, sequence: int, action: bytes, outbox: Outbox) -> Answered:
        """Executes a step with an action's slab, as `perform` does."""
        stepper = self._env.stepper
        session.cost = stepper.cost
        try:
            start, end = stepper.step(action, (), sequence, outbox)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hang its client
            return self._failed(session, "step", sequence, _failure_of(error), outbox)
        return start, end, False

    def perform(self, session: Session, request: Request, outbox: Outbox) -> Answered:
        """Executes a call on the environment's thread; no exception leaves that thread."""
        if request.action is not None:
            return self.step(session, request.sequence, request.action, outbox)
        try:
            return self._execute(session, request.message, outbox)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hang its client
            failure = _failure_of(error)
            return self._failed(session, request.name, request.sequence, failure, outbox)

    def _failed(
        self,
        session: Session,
        name: str,
        sequence: int,
        failure: session_pb2.Failure,
        outbox: Outbox,
    ) -> Answered:
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
        start, end = write_answer(failed_so(sequence, failure), outbox)
        return start, end, failure.code in _ENDS

    def _execute(
        self, session: Session, request: session_pb2.SessionRequest | None, outbox: Outbox
    ) -> Answered:
        request = request or session_pb2.SessionRequest()
        env, sequence, name = self._env, request.sequence, request.WhichOneof("call") or "no call"
        session.cost = env.costs.of(name)
        response = session_pb2.SessionResponse(sequence=sequence)
        if name == "step":
            call = request.step
            start, end = env.stepper.step(call.action, call.deviations, sequence, outbox)
            return start, end, False
        if name == "step_many":
            return *env.stepper.step_many(request.step_many, sequence, outbox), False
        if name == "reset":
            response.reset.MergeFrom(env.reset(request.reset))
        elif name == "render":
            response.render.MergeFrom(env.render())
        elif name == "attribute":
            response.attribute.MergeFrom(env.attribute(request.attribute))
        elif name == "stats":
            response.stats.MergeFrom(env.costs.to_proto())
        elif name == "close":
            response.close.SetInParent()
        else:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL,
                f"the session is open and this server knows no call {name!r}; allowed are reset, "
                f"step, step_many, render, attribute, stats and close",
            )
        return *write_answer(response, outbox), name == "close"


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
            return *write_answer(_refusing(sequence), outbox), False
        return self._desk.step(session, sequence, action, outbox)

    def answer(self, request: Request, outbox: Outbox) -> Answered:
        """Executes a call, and writes the answer."""
        session = self._session
        # Each side sets its own flag before it looks at the other's; see `drain` and `close`.
        session.in_call = session.in_port_call = True
        if self._desk.draining or session.gone:
            return *write_answer(_refusing(request.sequence), outbox), False
        answered = self._desk.perform(session, request, outbox)
        if request.name == "close" and answered[2]:
            # The next client may come as soon as this one knows that it has closed.
            session.source, session.in_port_call = None, False
            self._desk.close(session)
        return answered

    def give_up(self, name: str, sequence: int, outbox: Outbox) -> Answered:
        """Writes the answer to a call that a shutdown does not wait for any longer."""
        return *write_answer(_giving_up(Request(name, sequence)), outbox), False

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


def _mode(call: session_pb2.OpenCall) -> AutoresetMode | None:
    if not call.HasField("autoreset_mode"):
        return None
    try:
        return AutoresetMode.from_proto(call.autoreset_mode)
    except ValueError as error:
        raise failed(session_pb2.ERROR_CODE_INVALID_ARGUMENT, str(error)) from error


def _failure_of(error: Exception) -> session_pb2.Failure:
    if isinstance(error, CallFailedError):
        return error.failure
    return failed(
        session_pb2.ERROR_CODE_INTERNAL,
        f"{type(error).__name__} in RLMesh itself: {error}; please report it",
        error,
    ).failure


def _draining() -> CallFailedError:
    return failed(
        session_pb2.ERROR_CODE_DRAINING,
        "the server is shutting down and takes no more calls; connect anew once it serves again",
    )


def _refusing(sequence: int) -> session_pb2.SessionResponse:
    return failed_so(sequence, _draining().failure)


def _giving_up(request: Request) -> session_pb2.SessionResponse:
    error = failed(
        session_pb2.ERROR_CODE_DRAINING,
        f"the server is shutting down, and the environment's {request.name}() did not return in "
        f"the time that it was given; connect anew once it serves again",
    )
    return failed_so(request.sequence, error.failure)
