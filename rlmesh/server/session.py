"""Sessions: who holds the environment, and what each of its calls is answered."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from rlmesh.contract import AutoresetMode
from rlmesh.lanes.door import SECRET_BYTES
from rlmesh.lanes.peer import PROTOCOL_GENERATION
from rlmesh.lanes.port import Plan
from rlmesh.server.failures import CallFailedError, env_raised, failed
from rlmesh.server.host import Host, HostStoppedError, call_name
from rlmesh.server.memory import MemorySource
from rlmesh.server.served_env import ServedEnv
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")

_CLIENTS_FAULT = (
    session_pb2.ERROR_CODE_PROTOCOL,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT,
    session_pb2.ERROR_CODE_INVALID_ACTION,
)


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
        memory: Where its calls come from on the shared-memory lane, if it uses that.
        in_memory_call: Whether `in_call` is about a call on that lane.
        gone: Whether its client has left.
    """

    peer: session_pb2.Peer
    context: grpc.ServicerContext
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    since: float = field(default_factory=time.monotonic)
    in_call: bool = False
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES), repr=False)
    memory: MemorySource | None = None
    in_memory_call: bool = False
    gone: bool = False

    def holder(self) -> session_pb2.Holder:
        """The session as it is told to others."""
        return session_pb2.Holder(peer=self.peer, seconds=time.monotonic() - self.since)


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
            self._host.call(lambda: self._env.begin_session(mode), name="open")
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
            memory = session.memory
            # On the stream the caller has waited for the call; on shared memory nobody does.
            if self._session is not session or session.in_memory_call:
                ended = False
            else:
                self._session, ended = None, True
                self._free.set()
        if memory is not None:
            memory.close()
        if ended:
            _log.info("session %s ends", session.id)

    def answer(
        self, session: Session, request: session_pb2.SessionRequest
    ) -> session_pb2.SessionResponse:
        """Has the host execute a call, and gives its answer; what goes wrong is an answer too."""
        if not self._enter(session):
            return _refusing(request)
        name = request.WhichOneof("call") or "no call"
        try:
            response: session_pb2.SessionResponse = self._host.call(
                lambda: self._perform(session, name, request),
                name=call_name(request),
                sequence=request.sequence,
            )
        except HostStoppedError:
            return _giving_up(request)
        return response

    def answer_here(
        self, session: Session, request: session_pb2.SessionRequest
    ) -> session_pb2.SessionResponse:
        """As `answer`, on the environment's own thread."""
        session.in_memory_call = True
        if not self._enter(session):
            return _refusing(request)
        return self._perform(session, request.WhichOneof("call") or "no call", request)

    def admit(self, secret: bytes) -> Callable[[socket.socket, int, Plan], None] | None:
        """What takes a segment for the session with that secret; None if there is no such one."""
        session = self._session
        if session is None or not secrets.compare_digest(session.secret, secret):
            return None
        return lambda sock, descriptor, plan: self._attach(session, sock, descriptor, plan)

    def _attach(self, session: Session, sock: socket.socket, descriptor: int, plan: Plan) -> None:
        source = MemorySource(
            sock,
            descriptor,
            plan,
            lambda request: self.answer_here(session, request),
            _giving_up,
            lambda: self._answered_here(session),
        )
        with self._lock:
            welcome = self._session is session and session.memory is None and not self._draining
            if welcome:
                session.memory = source
        try:
            if welcome:
                self._host.attach(source)
                return
        except HostStoppedError:
            _log.debug("session %s comes too late", session.id)
        source.release()

    def _answered_here(self, session: Session) -> bool:
        session.in_memory_call = False
        going = self.answered(session)
        if not going:
            # Its stream has waited for the last call, to tell the client why there are no more.
            session.context.cancel()
        return going

    def answered(self, session: Session) -> bool:
        """Notes that an answer has left; whether there may be further calls."""
        with self._lock:
            session.in_call = False
            over = session.gone
            going = not (over or self._draining)
        if over:
            self.close(session)
        return going

    def drain(self) -> None:
        """Takes no more calls, and ends the stream of a session that is not in one."""
        with self._lock:
            self._draining = True
            session = self._session
            idle = session is not None and not session.in_call
        if session is not None and idle:
            session.context.cancel()
            if session.memory is not None:
                session.memory.close()

    def _enter(self, session: Session) -> bool:
        """Notes that a session is in a call, until `answered`; whether it may be."""
        with self._lock:
            session.in_call = not self._draining
            return session.in_call

    def wait_until_free(self, seconds: float) -> None:
        """Waits until nobody holds the environment, so that the last answer has left."""
        self._free.wait(seconds)

    def _perform(
        self, session: Session, name: str, request: session_pb2.SessionRequest
    ) -> session_pb2.SessionResponse:
        """Executes a call on the environment's thread; no exception leaves that thread."""
        response = session_pb2.SessionResponse(sequence=request.sequence)
        try:
            self._execute(name, request, response)
        except CallFailedError as error:
            failure = error.failure
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hang its client
            failure = failed(
                session_pb2.ERROR_CODE_INTERNAL,
                f"{type(error).__name__} in RLMesh itself: {error}; please report it",
                error,
            ).failure
        else:
            return response
        _log_failure(session, request.sequence, name, failure)
        # A new one: the call may have filled in a part of the other.
        return session_pb2.SessionResponse(sequence=request.sequence, failure=failure)

    def _execute(
        self,
        name: str,
        request: session_pb2.SessionRequest,
        response: session_pb2.SessionResponse,
    ) -> None:
        env = self._env
        if name == "step":
            response.step.CopyFrom(env.step(request.step))
        elif name == "reset":
            response.reset.CopyFrom(env.reset(request.reset))
        elif name == "render":
            response.render.CopyFrom(env.render())
        elif name == "attribute":
            response.attribute.CopyFrom(env.attribute(request.attribute))
        elif name == "close":
            response.close.SetInParent()
        else:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL,
                f"the session is open and this server knows no call {name!r}; allowed are reset, "
                f"step, render, attribute and close",
            )


def _mode(call: session_pb2.OpenCall) -> AutoresetMode | None:
    if not call.HasField("autoreset_mode"):
        return None
    try:
        return AutoresetMode.from_proto(call.autoreset_mode)
    except ValueError as error:
        raise failed(session_pb2.ERROR_CODE_INVALID_ARGUMENT, str(error)) from error


def _log_failure(session: Session, sequence: int, name: str, failure: session_pb2.Failure) -> None:
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


def _draining() -> CallFailedError:
    return failed(
        session_pb2.ERROR_CODE_DRAINING,
        "the server is shutting down and takes no more calls; connect anew once it serves again",
    )


def _refusing(request: session_pb2.SessionRequest) -> session_pb2.SessionResponse:
    return session_pb2.SessionResponse(sequence=request.sequence, failure=_draining().failure)


def _giving_up(request: session_pb2.SessionRequest) -> session_pb2.SessionResponse:
    name = request.WhichOneof("call") or "no call"
    error = failed(
        session_pb2.ERROR_CODE_DRAINING,
        f"the server is shutting down, and the environment's {name}() did not return in the time "
        f"that it was given; connect anew once it serves again",
    )
    return session_pb2.SessionResponse(sequence=request.sequence, failure=error.failure)
