"""The desk: who holds the environment, and what each call is answered."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError

from rlmesh.contract import AutoresetMode
from rlmesh.lanes.peer import PROTOCOL_GENERATION
from rlmesh.lanes.port import Outbox, Port
from rlmesh.lanes.stream_outbox import StreamOutbox
from rlmesh.server.failures import CallFailedError, env_raised, failed
from rlmesh.server.host import Host, HostStoppedError
from rlmesh.server.port_calls import PortCalls
from rlmesh.server.refusals import draining, failure_of, giving_up, refusing
from rlmesh.server.requests import (
    Answered,
    Request,
    damaged,
    failed_so,
    read_request,
    write_answer,
)
from rlmesh.server.served_env import ServedEnv
from rlmesh.server.session import Session
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
                raise draining()
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
                raise draining() from error
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
            return refusing(request.sequence).SerializeToString(), False
        try:
            start, end, over = self._host.call(
                lambda: self.perform(session, request, outbox),
                name=request.name,
                sequence=request.sequence,
            )
        except HostStoppedError:
            return giving_up(request).SerializeToString(), False
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
            return self._failed(session, "step", sequence, failure_of(error), outbox)
        return start, end, False

    def perform(self, session: Session, request: Request, outbox: Outbox) -> Answered:
        """Executes a call on the environment's thread; no exception leaves that thread."""
        if request.action is not None:
            return self.step(session, request.sequence, request.action, outbox)
        try:
            return self._execute(session, request.message, outbox)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hang its client
            failure = failure_of(error)
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


def _mode(call: session_pb2.OpenCall) -> AutoresetMode | None:
    if not call.HasField("autoreset_mode"):
        return None
    try:
        return AutoresetMode.from_proto(call.autoreset_mode)
    except ValueError as error:
        raise failed(session_pb2.ERROR_CODE_INVALID_ARGUMENT, str(error)) from error
