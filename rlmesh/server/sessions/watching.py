"""Shows the newest of every session to those who watch, and never waits for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rlmesh.foreign_text import one_line
from rlmesh.server.failures import CallFailedError
from rlmesh.server.sessions.endpoint import SessionBackend, SessionWatch
from rlmesh.server.sessions.requests import Request
from rlmesh.server.sessions.session import Session
from rlmesh.server.sessions.watched_parts import watched_parts
from rlmesh.transports.scratch import Scratch
from rlmesh_api.v1 import env_service_pb2, session_pb2

_log = logging.getLogger("rlmesh.server")

_USUAL_RATE = 30.0
_LEAST_RATE = 0.1
_MOST_RATE = 60.0
# For how many seconds calls are followed at least for a viewer who takes nothing meanwhile.
_LEAST_FOLLOWED = 5.0
MOST_VIEWERS = 16
"""How many viewers a server has at once; each holds a thread."""
MOST_FRAME_BYTES = 24 << 20
"""Of what `render` returned, as much as is shown of an observation. Larger frames, many times a
second, would have the server answer nobody else."""


@dataclass(slots=True, eq=False)
class _Viewer:
    """What one viewer wants to see."""

    period: float
    env_index: int
    # Seconds between two renders; None: no render.
    render_period: float | None

    @classmethod
    def of(cls, request: env_service_pb2.WatchRequest) -> _Viewer:
        # Also NaN is no rate.
        given = request.rate if request.rate > 0 else _USUAL_RATE
        rate = min(max(given, _LEAST_RATE), _MOST_RATE)
        renders = min(request.render_rate, _MOST_RATE)
        return cls(
            1 / rate, request.env_index, 1 / max(renders, _LEAST_RATE) if renders > 0 else None
        )


class _Followed:
    """What viewers know of one session.

    `Watching._lock` guards `seen`, `rendered` and `rendered_at`. The slot's thread writes `frame`
    and `failure`, and takes `pending` back, which a viewer's thread has set.
    """

    def __init__(self) -> None:
        # The number of the call that the last look has found.
        self.seen = 0
        # The number of the call after which the environment was rendered last, and when.
        self.rendered = 0
        self.rendered_at = 0.0
        self.pending = False
        self.frame = b""
        self.failure = ""

    def render(self, session: Session, backend: SessionBackend) -> None:
        """Renders. On the slot's thread, between two calls."""
        try:
            if not session.accepts_connections:
                return
            outbox = Scratch()
            call = session_pb2.SessionRequest(render=session_pb2.RenderCall())
            request = Request("render", 0, "render", message=call)
            start, end = backend.answer(request, _Outbox(outbox))
            if end - start > MOST_FRAME_BYTES:
                self.failure = (
                    f"the environment's render() returned {end - start} bytes; frames of up to "
                    f"{MOST_FRAME_BYTES} are shown"
                )
                return
            answer = session_pb2.SessionResponse.FromString(bytes(outbox.view[start:end]))
            if answer.HasField("failure"):
                # As a worker process answers.
                self.failure = one_line(answer.failure.message)
                return
            self.frame = answer.render.frame
        except CallFailedError as error:
            self.failure = one_line(error.failure.message)
        finally:
            self.pending = False


class _Outbox:
    """A scratch buffer as an outbox."""

    reserved = 0

    def __init__(self, scratch: Scratch) -> None:
        self.reserve = scratch.reserve


class Watching:
    """Shows sessions to viewers.

    `_lock` guards all fields. The slot's threads never wait for it. A session is watched as long as
    there is a viewer: its `watch` is set by the first look that finds it, and taken away when the
    last viewer leaves.

    Args:
        sessions: The sessions, the oldest first.
    """

    def __init__(self, sessions: Callable[[], list[Session]]) -> None:
        self._sessions = sessions
        self._lock = threading.Lock()
        self._viewers: set[_Viewer] = set()
        self._followed: dict[str, _Followed] = {}
        # What was shown last, when it was made, and of what, for each kind of viewer.
        self._shown: dict[tuple[int, bool], tuple[float, bytes]] = {}
        self._ended = threading.Event()

    def watch(
        self, request: env_service_pb2.WatchRequest, is_active: Callable[[], bool]
    ) -> Iterator[bytes]:
        """What a viewer is sent: answers as bytes, the newest each time. On the viewer's thread.

        Args:
            request: What the viewer wants to see.
            is_active: Whether the viewer is still there.

        Raises:
            TooManyViewersError: If there are too many already; at the first answer.
        """
        viewer = _Viewer.of(request)
        with self._lock:
            if len(self._viewers) >= MOST_VIEWERS:
                raise TooManyViewersError
            self._viewers.add(viewer)
        try:
            last: bytes | None = None
            due = time.monotonic()
            while is_active() and not self._ended.is_set():
                newest = self._newest(viewer)
                if newest != last:
                    last = newest
                    yield newest
                due = max(due + viewer.period, time.monotonic())
                self._ended.wait(due - time.monotonic())
        finally:
            with self._lock:
                self._viewers.discard(viewer)
                if not self._viewers:
                    self._leave()

    def close(self) -> None:
        """Ends what viewers are sent."""
        self._ended.set()

    def _leave(self) -> None:
        """Nobody watches any more. With the lock held."""
        for session in self._sessions():
            session.watch = None
        self._followed.clear()
        self._shown.clear()

    def _newest(self, viewer: _Viewer) -> bytes:
        key = viewer.env_index, viewer.render_period is not None
        with self._lock:
            now = time.monotonic()
            made, shown = self._shown.get(key, (float("-inf"), b""))
            # Several viewers at the same rate are shown the same.
            if now - made >= 0.9 * viewer.period:
                shown = self._look(viewer, now)
                self._shown[key] = now, shown
            return shown

    def _look(self, viewer: _Viewer, now: float) -> bytes:
        """Looks at every session. With the lock held."""
        indices = frozenset(each.env_index for each in self._viewers)
        until = now + max(_LEAST_FOLLOWED, 4 * max(each.period for each in self._viewers))
        periods = [each.render_period for each in self._viewers if each.render_period is not None]
        parts: list[bytes] = []
        followed: dict[str, _Followed] = {}
        for session in self._sessions():
            backend = session.slot.made
            if backend is None or not session.accepts_connections:
                continue
            shown = env_service_pb2.WatchedSession(session_id=session.id)
            for kind, timing in backend.timings.kinds():
                shown.calls.add(
                    call=kind,
                    count=timing.count,
                    environment_seconds=timing.environment,
                    server_seconds=timing.server,
                    queue_seconds=timing.queue,
                    batch_sizes=timing.batch_sizes,
                )
            watch = session.watch
            if watch is None:
                watch = backend.make_watch()
                if watch is None:
                    parts.extend(watched_parts(shown))
                    continue
                session.watch = watch
                if session.lent and session.receiver is not None:
                    # The calls come by this process as long as somebody watches.
                    session.receiver.ring()
            watch.describe(shown, viewer.env_index)
            known = self._followed.get(session.id) or _Followed()
            followed[session.id] = known
            watch.want(indices, until)
            self._refresh(session, watch, known)
            if periods and backend.renders:
                self._render(session, backend, watch, known, now, min(periods))
            known.seen = watch.sequence
            frame = b""
            if viewer.render_period is not None:
                frame, shown.render_failure = known.frame, known.failure
            parts.extend(watched_parts(shown, watch.images(viewer.env_index), frame))
        self._followed = followed
        return b"".join(parts)

    @staticmethod
    def _refresh(session: Session, watch: SessionWatch, known: _Followed) -> None:
        """Where no call has come since the last look, has the images of the last one kept."""
        if (
            watch.has_newest
            or not watch.has_images
            or session.in_call
            or known.seen != watch.sequence
        ):
            return

        def keep() -> None:
            receiver = session.receiver
            if session.watch is not watch or receiver is None or receiver.over:
                return
            kept = receiver.kept()
            if kept is not None:
                watch.note_kept(*kept)

        receiver = session.receiver
        if receiver is not None and receiver.by_stream:
            # A stream keeps its last answer as bytes, which any thread may read.
            _guarded(keep)()
        else:
            session.between_calls(_guarded(keep), "watch")

    @staticmethod
    def _render(
        session: Session,
        backend: SessionBackend,
        watch: SessionWatch,
        known: _Followed,
        now: float,
        period: float,
    ) -> None:
        """Renders where there is something new, as often as the viewer who asks most often."""
        if (
            known.pending
            or known.failure
            or watch.sequence in (0, known.rendered)
            or now - known.rendered_at < period
        ):
            return
        known.pending, known.rendered_at, known.rendered = True, now, watch.sequence
        work = _guarded(lambda: known.render(session, backend))
        if not session.between_calls(work, "render"):
            # As a part of the next call.
            watch.work = work


class TooManyViewersError(Exception):
    """A further viewer would be one too many."""


def _guarded(work: Callable[[], None]) -> Callable[[], None]:
    """What logs the exceptions of work, as whoever watches never disturbs a session."""

    def guarded() -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - as said
            _log.exception("a session cannot be watched")

    return guarded
