"""What the view knows of one endpoint, kept up to date as long as somebody looks at it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rlmesh.client.status import EndpointStatus
from rlmesh.client.watching import EndpointWatcher
from rlmesh.codec.infos.type_guards import is_row
from rlmesh.codec.infos.unpacking import unpack
from rlmesh.contract import EnvContract, ModelContract
from rlmesh.contract.description import describe_contract, describe_spaces
from rlmesh.errors import AuthenticationError, ProtocolError, RlmeshError
from rlmesh.foreign_text import one_line, paragraphs
from rlmesh.security import Credentials
from rlmesh.transports.peer import describe
from rlmesh_api.v1 import env_service_pb2, session_pb2

_log = logging.getLogger("rlmesh.view")

# How long to wait before an endpoint that does not answer is tried again.
_RETRY_SECONDS = 1.0
_STATUS_SECONDS = 0.5
_MOST_SPACES = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an endpoint at one moment.

    Attributes:
        up: Whether it answers.
        error: Why it does not, or why something of it is not shown; empty where all is well.
        refused: Whether it refuses the token of the view.
        status: What it is doing; None where that is not known yet.
        contracts: What it serves, as the page shows it.
        newest: The newest of its sessions, by name.
        at: When that arrived, on the monotonic clock, in seconds.
    """

    up: bool = False
    error: str = "connecting"
    refused: bool = False
    status: EndpointStatus | None = None
    contracts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    newest: Sequence[env_service_pb2.WatchedSession] = ()
    at: float = 0.0


class WatchedEndpoint:
    """One endpoint, watched as long as `look` was called more often than `look_away`.

    `_lock` guards all fields. The thread `rlmesh-view` follows the sessions, and `rlmesh-view-ask`
    asks for the status.

    Args:
        address: Its address.
        label: The address that the page shows.
        credentials: What to come in with.
        render_rate: How many times a second the environment may be rendered; 0: never.
        changed: Called on any thread when there is something new.

    Attributes:
        label: As given.
        version: One more with everything new.
        render_rate: How many times a second the environment may be rendered.
    """

    def __init__(
        self,
        address: str,
        credentials: Credentials,
        changed: Callable[[], None],
        *,
        label: str = "",
        render_rate: float = 0.0,
    ) -> None:
        self.label: str = label or address
        self.version: int = 0
        self._address = address
        self._credentials = credentials
        self.render_rate: float = render_rate
        self._changed = changed
        self._lock = threading.Lock()
        self._seen = Seen()
        self._lookers = 0
        self._env_index = 0
        self._following: _Following | None = None

    @property
    def seen(self) -> Seen:
        """What is known now."""
        with self._lock:
            return self._seen

    @property
    def env_index(self) -> int:
        """Which sub-environment is shown."""
        return self._env_index

    def show_env(self, env_index: int) -> None:
        """Shows another sub-environment, to everybody who looks."""
        with self._lock:
            self._env_index = env_index
            following = self._following
        if following is not None:
            following.watcher.stop()

    def render(self, rate: float) -> None:
        """Has the environment rendered so many times a second, for everybody who looks."""
        with self._lock:
            self.render_rate = rate
            following = self._following
        if following is not None:
            following.watcher.stop()

    def look(self) -> None:
        """Somebody looks at it."""
        with self._lock:
            self._lookers += 1
            if self._following is None:
                self._following = _Following(self)

    def look_away(self) -> None:
        """Somebody does not look at it any more."""
        with self._lock:
            self._lookers -= 1
            following = None
            if not self._lookers:
                following, self._following = self._following, None
        if following is not None:
            following.end()

    # For the threads that follow it.

    def make_watcher(self) -> EndpointWatcher:
        """Another connection to it."""
        return EndpointWatcher(self._address, self._credentials)

    def watch_on(self, watcher: EndpointWatcher) -> None:
        """Follows the sessions until the stream ends."""
        for response in watcher.watch(
            rate=30.0, env_index=self._env_index, render_rate=self.render_rate
        ):
            self.note(newest=tuple(response.sessions), at=time.monotonic())

    def note(self, **news: Any) -> None:
        """Something is new."""
        with self._lock:
            self._seen = replace(self._seen, **news)
            self.version += 1
        self._changed()


class _Following:
    """Follows an endpoint on two threads, until `end`."""

    def __init__(self, endpoint: WatchedEndpoint) -> None:
        self._endpoint = endpoint
        self._over = threading.Event()
        self.watcher = endpoint.make_watcher()
        threading.Thread(target=self._follow, name="rlmesh-view", daemon=True).start()
        threading.Thread(target=self._ask, name="rlmesh-view-ask", daemon=True).start()

    def end(self) -> None:
        self._over.set()
        self.watcher.close()

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                contracts = [_shown_contract(each) for each in self.watcher.contracts()]
                self._note(up=True, error="", refused=False, contracts=contracts)
                while not self._over.is_set():
                    self._endpoint.watch_on(self.watcher)
                    # Ended by the server, which drains, or because another sub-environment is
                    # shown.
                    self._over.wait(0.1)
            except ProtocolError as error:
                self._note(error=one_line(str(error), 500))
                self._over.wait(10 * _RETRY_SECONDS)
            except RlmeshError as error:
                self._down(error)
            self._over.wait(_RETRY_SECONDS)

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                status = self.watcher.status()
            except RlmeshError as error:
                self._down(error)
            else:
                self._note(up=True, status=status)
            self._over.wait(_STATUS_SECONDS)

    def _down(self, error: RlmeshError) -> None:
        self._note(
            up=False,
            error=one_line(str(error), 500),
            refused=isinstance(error, AuthenticationError),
            newest=(),
        )

    def _note(self, **news: Any) -> None:
        if not self._over.is_set():
            self._endpoint.note(**news)


def state_of(endpoint: WatchedEndpoint, seen: Seen) -> dict[str, Any]:
    """What the page is sent of an endpoint, without images; every text is printable and bounded."""
    status = seen.status
    shown: dict[str, Any] = {
        "address": endpoint.label,
        "up": seen.up,
        "error": seen.error,
        "envIndex": endpoint.env_index,
        "renderRate": endpoint.render_rate,
        "contracts": seen.contracts,
        "state": status.state if status is not None and seen.up else "",
        "capacity": status.capacity if status is not None else 0,
        "models": [],
        "sessions": [],
    }
    if status is None or not seen.up:
        return shown
    shown["models"] = [
        {
            "name": one_line(model.name),
            "version": model.version,
            "ready": model.ready,
            "queue": model.queue_length,
            "call": one_line(model.call),
            "busy": model.busy_seconds,
            "stack": paragraphs(model.stack),
        }
        for model in status.models
    ]
    newest = {each.session_id: each for each in seen.newest}
    shown["sessions"] = [
        _shown_session(session, newest.get(session.id)) for session in status.sessions
    ]
    return shown


def arrays_of(seen: Seen, env_index: int) -> list[tuple[str, str, int, Callable[[], Any]]]:
    """The images of an endpoint: session, place, a number that changes with it, and the array."""
    found: list[tuple[str, str, int, Callable[[], Any]]] = []
    for session in seen.newest:
        found.extend(
            (session.session_id, image.path, hash(image.pixels), _reader(image))
            for image in session.images
        )
        if session.render:
            packed = session.render
            read = _unpacker(packed, env_index)
            found.append((session.session_id, "render()", hash(packed), read))
    return found


def _reader(image: env_service_pb2.WatchedImage) -> Callable[[], Any]:
    return lambda: np.frombuffer(image.pixels, np.uint8).reshape(tuple(image.shape))


def _unpacker(packed: bytes, index: int) -> Callable[[], Any]:
    def read() -> Any:
        frame: Any = unpack(packed)
        # A vector environment returns a frame of each sub-environment.
        if is_row(frame):
            if not frame:
                raise ValueError("render() returned no frame")
            return frame[min(index, len(frame) - 1)]
        return frame

    return read


def _shown_session(session: Any, newest: env_service_pb2.WatchedSession | None) -> dict[str, Any]:
    holder = session.holder
    shown: dict[str, Any] = {
        "id": one_line(session.id),
        "holder": describe(session_pb2.Peer(name=holder.name, pid=holder.pid, host=holder.host)),
        "held": holder.seconds,
        "lost": holder.lost_seconds,
        "transport": one_line(session.transport),
        "call": one_line(session.call),
        "busy": session.busy_seconds,
        "idle": session.idle_seconds,
        "stack": paragraphs(session.stack),
        "calls": session.calls,
        "failures": session.failures,
        "deviations": {one_line(kind): count for kind, count in session.deviations.items()},
        "episode": None,
        "steps": 0,
        "numEnvs": 0,
        "costs": [],
        "renderFailure": "",
    }
    if newest is None:
        return shown
    shown.update(
        steps=newest.steps,
        numEnvs=newest.num_envs,
        renderFailure=one_line(newest.render_failure, 500),
        costs=[
            {
                "call": one_line(cost.call),
                "count": cost.count,
                "environment": cost.environment_seconds,
                "server": cost.server_seconds,
                "queue": cost.queue_seconds,
                "batches": cost.batch_sizes,
            }
            for cost in newest.calls
        ],
    )
    if newest.HasField("episode"):
        episode = newest.episode
        shown["episode"] = {
            "reward": _number(episode.reward),
            "return": _number(episode.episode_return),
            "length": episode.length,
            "partial": episode.partial,
            "terminated": episode.terminated,
            "truncated": episode.truncated,
            "ended": episode.ended,
            "lastReturn": _number(episode.last_return),
            "lastLength": episode.last_length,
        }
    return shown


def _number(value: float) -> float | str:
    """A number as JSON has it: the page reads those that JSON has not from a text."""
    return value if np.isfinite(value) else str(value)


def _shown_contract(contract: EnvContract | ModelContract) -> dict[str, Any]:
    rows = list(describe_spaces(contract))
    return {
        "id": one_line(contract.id),
        "renders": isinstance(contract, EnvContract) and contract.render_mode == "rgb_array",
        "facts": [[name, paragraphs(fact)] for name, fact in describe_contract(contract).items()],
        "spaces": [
            [paragraphs(cell) for cell in (row.title, row.place, *row.summary)]
            for row in rows[:_MOST_SPACES]
        ],
        "more": max(0, len(rows) - _MOST_SPACES),
    }
