"""Who watches a server sees the newest of every session, and disturbs none."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlmesh
from rlmesh.client.watching import EndpointWatcher
from rlmesh.errors import (
    AuthenticationError,
    EndpointUnreachableError,
    RemoteEnvError,
    RlmeshError,
)
from rlmesh.security import ANYBODY, Credentials, Token
from rlmesh.server.sessions import watching
from rlmesh.server.sessions.session import Session
from rlmesh.server.sessions.watching import MOST_FRAME_BYTES, MOST_VIEWERS
from rlmesh_api.v1 import env_service_pb2
from support.models import OfOne, observation, working
from support.serving import serving
from support.waiting import wait_until

SIDE = 16
SECONDS = 60.0


class Camera(gymnasium.Env[Any, Any]):
    """Each pixel of its image is the number of the step; an episode has five steps."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, render_mode: str | None = None, first: int = 0) -> None:
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Dict(
            camera=gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8),
            place=gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32),
        )
        self.action_space = gymnasium.spaces.Discrete(2)
        self.first = first
        self.count = 0
        self.rendered: list[str] = []

    def _observation(self) -> dict[str, Any]:
        return {
            "camera": np.full((SIDE, SIDE, 3), self.first + self.count, np.uint8),
            "place": np.zeros(2, np.float32),
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.count = 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self._observation(), 2.0, self.count == 5, False, {}

    def render(self) -> Any:
        self.rendered.append(threading.current_thread().name)
        return np.full((SIDE, SIDE, 3), 100 + self.count, np.uint8)


@contextlib.contextmanager
def watched(
    address: str, credentials: Credentials = ANYBODY, **wanted: Any
) -> Generator[Iterator[env_service_pb2.WatchResponse]]:
    """What a viewer is sent."""
    watcher = EndpointWatcher(address, credentials)
    settings: dict[str, Any] = {"rate": 60.0, "env_index": 0, "render_rate": 0.0, **wanted}
    timer = threading.Timer(SECONDS, watcher.close)
    timer.start()
    try:
        watcher.status()
        yield watcher.watch(**settings)
    finally:
        timer.cancel()
        watcher.close()


def until(
    shown: Iterator[env_service_pb2.WatchResponse], is_it: Any
) -> env_service_pb2.WatchedSession:
    """The first session that is as wanted."""
    for response in shown:
        for session in response.sessions:
            if is_it(session):
                return session
    raise AssertionError("the server has stopped showing its sessions")


def pixel(session: env_service_pb2.WatchedSession) -> int:
    return session.images[0].pixels[0] if session.images else -1


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_a_viewer_sees_the_newest_image_and_the_episode(transport: Any) -> None:
    with (
        serving(Camera()) as server,
        rlmesh.RemoteEnv[Any, Any](server.address, transport=transport) as env,
        watched(server.address) as shown,
    ):
        next(shown)
        env.reset(seed=0)
        until(shown, lambda session: pixel(session) == 0)
        for _ in range(3):
            env.step(0)
        session = until(shown, lambda session: session.episode.length == 3 and pixel(session) == 3)
        assert [image.path for image in session.images] == ["$.camera"]
        assert list(session.images[0].shape) == [SIDE, SIDE, 3]
        assert session.images[0].pixels == bytes([3]) * SIDE * SIDE * 3
        assert session.episode.reward == 2.0
        assert session.episode.episode_return == 6.0
        assert not session.episode.partial
        env.step_many(np.zeros(2, np.int64))
        over = until(shown, lambda session: session.episode.terminated)
        assert (over.episode.ended, over.episode.last_return, over.episode.last_length) == (
            1,
            10.0,
            5,
        )
        assert over.steps == 5
        env.reset()
        fresh = until(shown, lambda session: session.episode.length == 0)
        assert (fresh.episode.episode_return, fresh.episode.ended) == (0.0, 1)
        # No connection was cut for it.
        [one] = server._life._manager.sessions()
        assert one.rejoined == 0


def test_who_comes_in_the_middle_sees_the_last_image_and_that_the_return_is_partial() -> None:
    with serving(Camera()) as server, rlmesh.RemoteEnv[Any, Any](server.address) as env:
        env.reset(seed=0)
        env.step(0)
        env.step(0)
        with watched(server.address) as shown:
            session = until(shown, lambda session: pixel(session) == 2)
            assert not session.HasField("episode")
            env.step(0)
            session = until(shown, lambda session: pixel(session) == 3)
            assert (session.episode.partial, session.episode.episode_return) == (True, 2.0)


def test_a_session_is_watched_as_long_as_there_is_a_viewer() -> None:
    with serving(Camera()) as server, rlmesh.RemoteEnv[Any, Any](server.address) as env:
        env.reset(seed=0)
        [session] = server._life._manager.sessions()
        assert session.watch is None
        with watched(server.address) as one:
            next(one)
            with watched(server.address) as two:
                until(two, lambda found: pixel(found) == 0)
                assert session.watch is not None
        wait_until(lambda: session.watch is None)
        env.step(0)


def test_the_sub_environment_that_a_viewer_names_is_shown() -> None:
    envs = SyncVectorEnv(
        [partial(Camera, first=10 * at) for at in range(3)],
        autoreset_mode=AutoresetMode.NEXT_STEP,
    )
    with (
        serving(envs) as server,
        rlmesh.RemoteVectorEnv[Any, Any](server.address) as env,
        watched(server.address, env_index=2) as shown,
        watched(server.address, env_index=7) as beyond,
    ):
        next(shown)
        env.reset(seed=0)
        until(shown, lambda session: pixel(session) == 20)
        for _ in range(7):
            env.step(np.zeros(3, np.int64))
        # The sixth step only resets.
        session = until(shown, lambda session: session.steps == 7 and pixel(session) == 21)
        assert session.num_envs == 3
        assert (session.episode.length, session.episode.episode_return) == (1, 2.0)
        assert (session.episode.ended, session.episode.last_return) == (1, 10.0)
        until(beyond, lambda session: pixel(session) == 21)


def test_an_isolated_environment_is_watched_too_and_its_worker_answers_again_afterwards() -> None:
    with serving(Camera, isolation="process") as server:
        with rlmesh.RemoteEnv[Any, Any](server.address) as env:
            env.reset(seed=0)
            env.step(0)
            [session] = server._life._manager.sessions()
            with watched(server.address) as shown:
                until(shown, lambda session: pixel(session) == 1)
                env.step(0)
                found = until(shown, lambda session: pixel(session) == 2)
                assert found.episode.reward == 2.0
            wait_until(lambda: session.watch is None)
            env.step(0)
            env.step(0)
            wait_until(lambda: session.lent)
            assert env.step(0)[2]


def test_an_image_that_is_asked_for_again_before_it_was_kept_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    between_calls = Session.between_calls

    def noted(session: Session, work: Any, name: str) -> bool:
        asked.append(name)
        return between_calls(session, work, name)

    with serving(Camera()) as server, rlmesh.RemoteEnv[Any, Any](server.address) as env:
        env.reset(seed=0)
        env.step(0)
        [session] = server._life._manager.sessions()
        release = threading.Event()

        def hold() -> None:
            release.wait(SECONDS)

        session.between_calls(hold, "test")
        monkeypatch.setattr(Session, "between_calls", noted)
        with watched(server.address) as shown:
            next(shown)
            wait_until(lambda: asked.count("watch") >= 2)
            release.set()
            # After all that was asked for.
            done = threading.Event()
            between_calls(session, done.set, "test")
            assert done.wait(SECONDS)
            assert session.watch is not None
            [(_, pixels)] = session.watch.images(0)
            assert pixels[0] == 1


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_render_is_called_where_a_viewer_asks_for_it_and_on_the_environments_thread(
    transport: Any,
) -> None:
    camera = Camera(render_mode="rgb_array")
    with (
        serving(camera) as server,
        rlmesh.RemoteEnv[Any, Any](server.address, transport=transport) as env,
    ):
        env.reset(seed=0)
        with watched(server.address) as shown:
            until(shown, lambda session: pixel(session) == 0)
        assert camera.rendered == []
        with watched(server.address, render_rate=60.0) as shown:
            # Over a stream it is a part of the next call.
            until(shown, lambda session: env.step(0) and session.render)
        assert set(camera.rendered) == {"rlmesh-env"}
        before = camera.count
        assert env.step(0)[0]["camera"][0, 0, 0] == before + 1
        [session] = server._life._manager.sessions()
        assert session.rejoined == 0


def test_a_frame_that_is_too_large_is_not_sent_and_the_viewer_is_told_so() -> None:
    class Cinema(Camera):
        def render(self) -> Any:
            super().render()
            return np.zeros(MOST_FRAME_BYTES, np.uint8)

    camera = Cinema(render_mode="rgb_array")
    with (
        serving(camera) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as env,
        watched(server.address, render_rate=60.0) as shown,
    ):
        env.reset(seed=0)
        session = until(shown, lambda session: env.step(0) and session.render_failure)
        assert "are shown" in session.render_failure
        assert not session.render
        env.step(0)
        assert len(camera.rendered) == 1


class Broken(Camera):
    """Its lamp is broken."""

    def __init__(self) -> None:
        super().__init__(render_mode="rgb_array")

    def render(self) -> Any:
        super().render()
        raise OSError(f"the lamp is broken, at try {len(self.rendered)}")


@pytest.mark.parametrize("isolation", [None, "process"])
def test_a_render_that_fails_is_shown_and_not_called_again(isolation: Any) -> None:
    with (
        serving(Broken if isolation else Broken(), isolation=isolation) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as env,
        watched(server.address, render_rate=60.0) as shown,
    ):
        env.reset(seed=0)
        session = until(shown, lambda session: session.render_failure)
        assert "the lamp is broken" in session.render_failure
        for _ in range(3):
            env.step(0)
        until(shown, lambda session: pixel(session) == 3)
        with pytest.raises(RemoteEnvError, match="at try 2"):
            env.render()


def test_a_viewer_that_reads_nothing_stops_nobody() -> None:
    with (
        serving(Camera()) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as env,
        watched(server.address) as stalled,
        watched(server.address) as shown,
    ):
        next(stalled)
        next(shown)
        env.reset(seed=0)
        for _ in range(200):
            env.reset()
            env.step(0)
        until(shown, lambda session: session.steps == 200)


def test_while_a_viewer_takes_nothing_no_call_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "_LEAST_FOLLOWED", 0.2)
    # More than the network keeps of what nobody takes.
    monkeypatch.setattr(sys.modules[__name__], "SIDE", 512)
    with (
        serving(Camera()) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as env,
        watched(server.address) as shown,
    ):
        env.reset(seed=0)
        next(shown)
        [session] = server._life._manager.sessions()

        def passed_over() -> bool:
            env.reset()
            env.step(0)
            watch: Any = session.watch
            return bool(watch._missed)

        wait_until(passed_over)
        monkeypatch.setattr(watching, "_LEAST_FOLLOWED", SECONDS)
        env.step(0)
        env.step(0)
        # What it takes again is the newest, of an episode whose return nobody knows.
        until(shown, lambda session: pixel(session) == 3)
        env.step(0)
        found = until(shown, lambda session: pixel(session) == 4)
        assert found.episode.partial
        assert (found.episode.length, found.episode.reward) == (1, 2.0)


def test_a_viewer_too_many_is_refused() -> None:
    with serving(Camera()) as server, contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(watched(server.address)) for _ in range(MOST_VIEWERS)]
        for viewer in viewers:
            next(viewer)
        with (
            watched(server.address) as shown,
            pytest.raises(RlmeshError, match=f"{MOST_VIEWERS} viewers watch this server already"),
        ):
            next(shown)


def test_who_shows_no_token_watches_nothing() -> None:
    with serving(Camera(), token="a-token") as server:
        stranger = EndpointWatcher(server.address, ANYBODY)
        with contextlib.closing(stranger), pytest.raises(AuthenticationError):
            next(stranger.watch(rate=1.0, env_index=0, render_rate=0.0))
        friend = Credentials(token=Token("a-token", "token"))
        with watched(server.address, friend) as shown:
            assert not next(shown).sessions


def test_of_a_model_the_calls_are_shown() -> None:
    with (
        working(OfOne()) as worker,
        rlmesh.RemoteModel(worker.address) as model,
        watched(worker.address) as shown,
    ):
        model.predict(observation())
        session = until(shown, lambda session: any(c.call == "predict" for c in session.calls))
        [cost] = [cost for cost in session.calls if cost.call == "predict"]
        assert (cost.count, cost.batch_sizes) == (1, 1)
        assert not session.HasField("episode")


def test_who_asks_on_a_watcher_that_is_closed_reads_so() -> None:
    with serving(Camera()) as server:
        for asked_before in (False, True):
            watcher = EndpointWatcher(server.address, ANYBODY)
            if asked_before:
                watcher.status()
            watcher.close()
            for ask in (watcher.status, watcher.contracts):
                with pytest.raises(EndpointUnreachableError, match="is not watched any more"):
                    ask()
