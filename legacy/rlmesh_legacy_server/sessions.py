"""The session of a client: one at a time, its calls executed on the environment's thread."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import socket
import sys
import threading
import time
import traceback
from collections import deque
from typing import Any, Callable, Iterator

import grpc
from google.protobuf.message import DecodeError

from rlmesh_legacy_server.environment import FATAL, Environment, failure_of
from rlmesh_legacy_server.messages import (
    STATE,
    CallFailedError,
    GetStatusResponse,
    SessionRequest,
    SessionResponse,
    sendable,
)
from rlmesh_legacy_server.texts import one_line
from rlmesh_legacy_server.version import __version__

GENERATION = 1
PIECE_BYTES = 1 << 20
MAX_MESSAGE_BYTES = 1 << 30
_DRAINING = (
    "the server is shutting down and takes no more calls; connect again once it serves again"
)

_log = logging.getLogger("rlmesh_legacy_server")


class CallThread:
    """Runs functions for other threads on one thread: the one that calls `run`."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopped = False
        self.ident: int | None = None

    def run(self) -> None:
        """Runs what is posted until `stop`."""
        self.ident = threading.get_ident()
        while True:
            posted = self._calls.get()
            if posted is None:
                return
            call, done = posted
            done.put(call())

    def call(self, call: Callable[[], Any]) -> Any:
        """The result of a function, run on the thread; it must not raise. None after `stop`."""
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:
            if self._stopped:
                return None
            self._calls.put((call, done))
        return done.get()

    def stop(self) -> None:
        """Ends `run` after the calls that were posted. A signal handler must not call it."""
        with self._lock:
            self._stopped = True
            self._calls.put(None)


class Session:
    """A client's hold on the environment. The lock of `Sessions` guards `in_call` and `gone`."""

    def __init__(self, peer: Any, context: Any) -> None:
        for name in ("name", "host", "version", "implementation"):
            setattr(peer, name, one_line(getattr(peer, name)))
        self.peer, self.context = peer, context
        self.id, self.secret = secrets.token_hex(4), secrets.token_bytes(32)
        self.since = self.used = time.monotonic()
        self.sequence = 1
        self.calls = self.failures = 0
        self.in_call = self.gone = False

    def fill(self, holder: Any) -> None:
        """Writes who holds the environment, and since when."""
        holder.peer.CopyFrom(self.peer)
        holder.seconds = time.monotonic() - self.since


class Sessions:
    """Gives the one place to clients, first come, first served, and carries their calls.

    Args:
        environment: The environment.
        thread: Calls it.
    """

    def __init__(self, environment: Environment, thread: CallThread) -> None:
        self._environment, self._thread = environment, thread
        # Guards all below.
        self._changed = threading.Condition()
        self._holder: Session | None = None
        self._waiting: deque[object] = deque()
        self._draining = False
        self._call: Any = None
        self.since = time.monotonic()

    def serve(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """Serves the stream of one client; gRPC runs it on a thread for this call."""
        messages = _whole(requests, context)
        session: Session | None = None
        try:
            first = next(messages, None)
            if first is None:
                return
            response = SessionResponse()
            try:
                session = self._opened(first, response, context)
            except CallFailedError as error:
                response.failure.CopyFrom(error.failure)
            yield response.SerializeToString()
            if session is None:
                return
            for message in messages:
                answer, over = self._answered(session, message)
                yield answer
                if over:
                    return
        except grpc.RpcError:
            pass  # the client has gone: the iterator of its requests raises
        finally:
            if session is not None:
                self._leave(session)

    def drain(self) -> None:
        """No new session and no new call from now on."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()

    def status(self) -> Any:
        """What the server is doing. Any thread may ask; it waits for no call."""
        status = GetStatusResponse(state=STATE["READY"], capacity=1)
        status.protocol_generation = GENERATION
        fill_peer(status.server)
        status.serving_seconds = time.monotonic() - self.since
        with self._changed:
            holder, call, draining = self._holder, self._call, self._draining
        if holder is not None:
            session = status.sessions.add(session_id=holder.id, transport="grpc")
            session.calls, session.failures = holder.calls, holder.failures
            holder.fill(session.holder)
            holder.fill(status.holder)
            session.idle_seconds = 0.0 if call else time.monotonic() - holder.used
            for kind, count in sorted(self._environment.deviations.items()):
                session.deviations.add(kind=kind, count=count)
            if call is not None:
                frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # the only way
                stack = "".join(traceback.format_stack(frame)) if frame else ""
                status.state = STATE["BUSY"]
                for part in (status, session):
                    part.call, part.sequence, began = call
                    part.busy_seconds = time.monotonic() - began
                    part.stack = sendable(stack, 64_000)
        if draining:
            status.state = STATE["DRAINING"]
        return status

    def _opened(self, message: bytes, response: Any, context: Any) -> Session:
        """Opens a session and fills the answer; raises `CallFailedError`."""
        request = _parsed(message)
        response.sequence = request.sequence
        kind = request.WhichOneof("call")
        if kind == "resume":
            raise CallFailedError(
                "SESSION_GONE",
                "this server keeps no session whose connection has broken. Its episode is gone; "
                "the next reset begins another one in a new session",
            )
        if kind != "open" or request.sequence != 1:
            raise CallFailedError(
                "PROTOCOL", f"the first call of a stream must be open with the number 1, got {kind}"
            )
        call = request.open
        if call.protocol_generation < 1:
            raise CallFailedError(
                "INCOMPATIBLE",
                f"the client speaks protocol generation {call.protocol_generation}, this server 1 "
                f"to {GENERATION}; upgrade the older of the two",
            )
        for name in ("wait_seconds", "request_timeout_seconds"):
            if not getattr(call, name) >= 0:
                raise CallFailedError(
                    "INVALID_ARGUMENT", f"{name} must be a number of seconds from 0"
                )
        session = Session(call.peer, context)
        self._enter(session, call.wait_seconds, call.replaces)
        try:
            mode = call.autoreset_mode if call.HasField("autoreset_mode") else None
            failure = self._thread.call(lambda: self._begin(mode, as_vector=call.as_vector))
            if failure is not None:
                raise failure
        except BaseException:
            self._leave(session)
            raise
        context.add_callback(lambda: self._leave(session))
        opened = response.open
        opened.session_id, opened.secret = session.id, session.secret
        opened.protocol_generation = GENERATION
        opened.exposed.extend(sorted(self._environment.exposed))
        return session

    def _begin(self, mode: int | None, *, as_vector: bool) -> CallFailedError | None:
        try:
            self._environment.begin_session(mode, as_vector=as_vector)
        except CallFailedError as error:
            return error
        return None

    def _enter(self, session: Session, seconds: float, replaces: bytes) -> None:
        """Waits for the place; raises `CallFailedError` where it does not become free in time."""
        ticket = object()
        with self._changed:
            holder = self._holder
            if replaces and holder is not None and secrets.compare_digest(holder.secret, replaces):
                self._waiting.appendleft(ticket)
                seconds = float("inf")
                holder.context.cancel()
            else:
                self._waiting.append(ticket)
            until = time.monotonic() + seconds
            try:
                while self._holder is not None or self._waiting[0] is not ticket:
                    left = until - time.monotonic()
                    if self._draining or left <= 0 or not session.context.is_active():
                        break
                    # A client that leaves meanwhile is noticed within a second.
                    self._changed.wait(min(left, 1.0))
                if self._draining:
                    raise CallFailedError("DRAINING", _DRAINING)
                if self._holder is not None or self._waiting[0] is not ticket:
                    raise self._busy(seconds)
                self._holder = session
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _busy(self, waited: float) -> CallFailedError:
        taken = "another client holds the environment"
        text = f"{taken}, and none became free within {waited:g} s" if waited else taken
        error = CallFailedError("BUSY", text, capacity=1)
        if self._holder is not None:
            self._holder.fill(error.failure.holder)
            self._holder.fill(error.failure.holders.add())
        return error

    def _leave(self, session: Session) -> None:
        """Gives the place back, once the call in progress has returned. Any thread may."""
        with self._changed:
            session.gone = True
            if not session.in_call and self._holder is session:
                self._holder = None
                self._changed.notify_all()

    def _answered(self, session: Session, message: bytes) -> tuple[bytes, bool]:
        """The answer to a call, and whether the session ends with it."""
        with self._changed:
            session.in_call = True
        response: Any = SessionResponse()
        try:
            request = _parsed(message)
            failure = self._refusal(session, request)
            if failure is None:
                executed = self._thread.call(lambda: self._execute(session, request))
                if executed is None:
                    failure = CallFailedError("DRAINING", _DRAINING)
                else:
                    response = executed
            if failure is not None:
                response.failure.CopyFrom(failure.failure)
            response.sequence = request.sequence
            over = request.WhichOneof("call") == "close"
        except CallFailedError as error:
            response.failure.CopyFrom(error.failure)
            over = True
        session.calls, session.used = session.calls + 1, time.monotonic()
        if response.WhichOneof("answer") == "failure":
            failed = response.failure
            session.failures += 1
            over = over or failed.code in FATAL
            trace = "\n    ".join(["", *failed.traceback.rstrip().splitlines()])
            what = session.id, response.sequence, one_line(failed.message, 8000), trace
            _log.warning("session %s, call %d: %s%s", *what)
        with self._changed:
            session.in_call = False
        if over or session.gone:
            # The next client may come as soon as this one knows that it has closed.
            self._leave(session)
        return response.SerializeToString(), over

    def _refusal(self, session: Session, request: Any) -> CallFailedError | None:
        if self._draining:
            return CallFailedError("DRAINING", _DRAINING)
        if request.sequence <= session.sequence:
            return CallFailedError(
                "PROTOCOL",
                f"call {request.sequence} does not follow call {session.sequence}, which was the "
                f"last one. The session ends",
            )
        session.sequence = request.sequence
        return None

    def _execute(self, session: Session, request: Any) -> Any:
        """Executes a call, on the environment's thread; never raises."""
        kind = request.WhichOneof("call")
        name = request.attribute.name if kind == "attribute" else kind or "no call"
        began = time.monotonic()
        with self._changed:
            self._call = (one_line(name), request.sequence, began)
        timing = self._environment.timings.setdefault(kind or "no call", [0, 0.0, 0.0])
        try:
            if kind == "close":
                response = SessionResponse()
                response.close.SetInParent()
                return response
            return self._environment.answer(request)
        except BaseException as error:  # noqa: BLE001 - a defect of ours must not hang its client
            response = SessionResponse()
            response.failure.CopyFrom(failure_of(error))
            return response
        finally:
            timing[0] += 1
            timing[2] += time.monotonic() - began
            with self._changed:
                self._call = None


def fill_peer(peer: Any) -> None:
    """Writes what this process calls itself."""
    peer.name = os.path.basename(sys.argv[0]) or "python" if sys.argv else "python"
    peer.pid, peer.host, peer.version = os.getpid(), socket.gethostname(), __version__
    peer.implementation = f"rlmesh-legacy-server on Python {sys.version.split()[0]}"


def _parsed(message: bytes) -> Any:
    try:
        return SessionRequest.FromString(message)
    except DecodeError as error:
        raise CallFailedError("PROTOCOL", f"the message cannot be read: {error}") from error


def _whole(received: Iterator[bytes], context: Any) -> Iterator[bytes]:
    """The requests that arrive in pieces: one of exactly `PIECE_BYTES` is followed by another."""
    parts, size = [], 0
    for piece in received:
        parts.append(piece)
        size += len(piece)
        if size > MAX_MESSAGE_BYTES:
            context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
            context.set_details(f"a request has more than {MAX_MESSAGE_BYTES} bytes")
            return
        if len(piece) < PIECE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
