"""The metrics of a real server, read over HTTP, against what the clients know."""

from __future__ import annotations

import contextlib
import importlib.util
import select
import socket
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlmesh
from rlmesh.errors import (
    AddressInUseError,
    EndpointBusyError,
    InvalidAddressError,
    RemoteEnvError,
    RlmeshError,
    StateError,
)
from rlmesh_api.stability import METRICS
from support.chaos import ChaosProxy
from support.frail_env import FrailEnv, way
from support.metrics import metrics, scrape
from support.models import OfMany, observation, working
from support.sample_envs import ScriptedEnv
from support.serving import serving

pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")

ANYWHERE = "127.0.0.1:0"


def test_the_metrics_are_those_of_the_table() -> None:
    env = ScriptedEnv()
    with serving(env, metrics=ANYWHERE) as server, rlmesh.RemoteEnv(server.address) as client:
        client.reset()
        client.step(client.action_space.sample())
        _check_families(scrape(server), "environment")
    with working(OfMany(), metrics=ANYWHERE) as worker:
        with rlmesh.RemoteModel(worker.address) as model:
            model.predict(observation())
            _check_families(scrape(worker), "model")


def _check_families(text: str, endpoint: str) -> None:
    found = _families(text)
    expected = {
        name: (metric.kind, metric.labels)
        for name, metric in METRICS.items()
        if endpoint in metric.endpoints
    }
    assert found.keys() == expected.keys()
    for name, (kind, labels) in found.items():
        assert kind == expected[name][0], name
        assert labels in (None, expected[name][1]), name


def test_the_counts_are_the_clients_own_after_failures_cuts_and_refusals() -> None:
    env = ScriptedEnv()
    with (
        ChaosProxy(0) as proxy,
        serving(env, metrics=ANYWHERE, transports=["grpc"]) as server,
    ):
        proxy.lead_to(server.address)
        client: Any = rlmesh.RemoteEnv(f"tcp://{proxy.authority}")
        action = np.zeros(2, np.float32)
        client.reset()
        env.script["step"] = _raises
        for _ in range(2):
            with pytest.raises(RemoteEnvError):
                client.step(action)
            client.reset()
        del env.script["step"]
        for _ in range(5):
            for _ in range(20):
                client.step(action)
            proxy.cut()
        client.step(action)
        for _ in range(3):
            with pytest.raises(EndpointBusyError):
                rlmesh.RemoteEnv(server.address)
        counts = {kind: stats.count for kind, stats in client.stats().items()}
        found = metrics(server)
        calls = {
            kind: sum(
                count for name, count in found.items() if name[:2] == ("rlmesh_calls_total", kind)
            )
            for kind in ("reset", "step")
        }
        assert calls == {kind: counts[kind] for kind in calls} == {"reset": 3, "step": 103}
        assert found["rlmesh_calls_total", "step", "environment"] == 2
        assert found["rlmesh_calls_total", "step", "ok"] == 101
        assert found["rlmesh_call_seconds_count", "step", "server"] == 103
        assert found["rlmesh_refused_total", "busy"] == 3
        assert 1 <= found["rlmesh_resumes_total",] <= 5
        assert found["rlmesh_sessions",] == found["rlmesh_session_capacity",] == 1
        assert 0 <= time.time() - found["rlmesh_last_call_timestamp_seconds",] < 600
        client.close()
        # What a session has done stays counted after its end, its last call included.
        with rlmesh.RemoteEnv(server.address) as other:
            other.reset()
            after = metrics(server)
            assert after["rlmesh_calls_total", "close", "ok"] == 1
            assert after["rlmesh_calls_total", "reset", "ok"] == 4
            assert after["rlmesh_calls_total", "step", "ok"] == 101


def _raises() -> None:
    raise RuntimeError("as the test wants it")


def test_the_calls_of_strangers_are_refused_and_counted() -> None:
    with serving(ScriptedEnv(), metrics=ANYWHERE, token="a-token-of-the-test") as server:
        with pytest.raises(RlmeshError):
            rlmesh.RemoteEnv(server.address, token="another-token")
        assert metrics(server)["rlmesh_refused_total", "unauthenticated"] >= 1


class _Rounds(gymnasium.Env[Any, Any]):
    """Episodes of three steps of reward 2."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return np.zeros(2, np.float32), 2.0, self.count == 3, False, {}


def _play(client: Any, episodes: int) -> None:
    for _ in range(episodes):
        client.reset()
        over = False
        while not over:
            over = client.step(0)[2]


def _episodes(server: rlmesh.EnvServer) -> tuple[float, float, float, float]:
    found = metrics(server)
    return (
        found["rlmesh_episodes_total",],
        found["rlmesh_episode_return_count",],
        found["rlmesh_episode_return_sum",],
        found["rlmesh_episode_length_sum",],
    )


@pytest.mark.parametrize("isolation", [None, "process"])
def test_episodes_are_counted_with_return_and_length(isolation: Any) -> None:
    with serving(_Rounds, sessions=1, isolation=isolation, metrics=ANYWHERE) as server:
        with rlmesh.RemoteEnv(server.address) as client:
            _play(client, 4)
            # One that is not over counts for nothing.
            client.reset()
            client.step(0)
            assert _episodes(server) == (4, 4, 24.0, 12)
        with rlmesh.RemoteEnv(server.address) as client:
            _play(client, 1)
            assert _episodes(server) == (5, 5, 30.0, 15)


@pytest.mark.parametrize("mode", ["next_step", "same_step", "disabled"])
def test_the_episodes_of_sub_environments_are_counted_one_by_one(mode: Any) -> None:
    envs = gymnasium.vector.SyncVectorEnv(
        [_Rounds, _Rounds], autoreset_mode=gymnasium.vector.AutoresetMode(_gymnasium(mode))
    )
    with (
        serving(envs, metrics=ANYWHERE) as server,
        rlmesh.RemoteVectorEnv(server.address) as client,
    ):
        client.reset()
        actions = np.zeros(2, np.int64)
        ended = 0
        for _ in range(8):
            _, _, terminated, _, _ = client.step(actions)
            ended += int(terminated.sum())
            if mode == "disabled" and terminated.any():
                client.reset(options={"reset_mask": terminated})
        assert ended == 4
        assert _episodes(server) == (4, 4, 24.0, 12)


def _gymnasium(mode: str) -> str:
    return {"next_step": "NextStep", "same_step": "SameStep", "disabled": "Disabled"}[mode]


def test_a_crash_loop_shows() -> None:
    with (
        serving(FrailEnv, sessions=1, isolation="process", metrics=ANYWHERE) as server,
        rlmesh.RemoteEnv(server.address) as client,
    ):
        for _ in range(2):
            client.reset()
            client.step(way("count"))
            with pytest.raises(rlmesh.RlmeshError):
                client.step(way("kill"))
        found = metrics(server)
        assert found["rlmesh_calls_total", "step", "env_crashed"] == 2
        assert found["rlmesh_calls_total", "step", "ok"] == 2


def test_a_model_shows_its_queue_its_batches_and_its_version() -> None:
    with working(OfMany(), metrics=ANYWHERE) as worker:
        with rlmesh.RemoteModel(worker.address) as model:
            for _ in range(3):
                model.predict(observation())
        worker.reload(OfMany())
        found = metrics(worker)
        [name] = worker.model_contracts
        assert found["rlmesh_model_version", name] == 2
        assert found["rlmesh_queue_length", name] == 0
        assert found["rlmesh_batch_size_count",] == found["rlmesh_batch_size_sum",] == 3
        assert found["rlmesh_calls_total", "predict", "ok"] == 3


def test_a_call_in_progress_ages() -> None:
    env, go = ScriptedEnv(), threading.Event()
    began = threading.Event()

    def wait() -> None:
        began.set()
        assert go.wait(60)
        raise RuntimeError("over")

    with serving(env, metrics=ANYWHERE) as server, rlmesh.RemoteEnv(server.address) as client:
        client.reset()
        assert metrics(server)["rlmesh_busy_seconds",] == 0
        env.script["step"] = wait
        stepping = threading.Thread(target=_step, args=(client,))
        stepping.start()
        try:
            assert began.wait(60)
            first = metrics(server)["rlmesh_busy_seconds",]
            assert 0 < first < metrics(server)["rlmesh_busy_seconds",]
        finally:
            go.set()
            stepping.join(60)


def _step(client: Any) -> None:
    with contextlib.suppress(RemoteEnvError):
        client.step(client.action_space.sample())


def test_only_the_metrics_are_there_and_nothing_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nobody is disconnected for being slow.
    monkeypatch.setattr("rlmesh.server.metrics.port._Handler.timeout", 600)
    server = rlmesh.EnvServer(ScriptedEnv(), metrics=ANYWHERE)
    with server:
        address = server.metrics_address
        assert address is not None
        url = f"http://{address.removeprefix('tcp://')}"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/api/v1/query", timeout=60)  # noqa: S310 - as built above
        # Those who send nothing keep neither others waiting nor the server alive.
        host, port = url.removeprefix("http://").split(":")
        stalled = [socket.create_connection((host, int(port)), 60) for _ in range(15)]
        assert "rlmesh_sessions 0" in scrape(server)
        # There is a limit: a further one is disconnected at once.
        stalled += [socket.create_connection((host, int(port)), 60) for _ in range(2)]
        assert select.select(stalled[-2:], [], [], 60)[0]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), 60)
    for each in stalled:
        each.close()
    assert "rlmesh-metrics" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("begins", [True, False])
def test_a_taken_port_is_refused_at_construction_and_nothing_stays_bound(begins: bool) -> None:
    with serving(ScriptedEnv(), metrics=ANYWHERE) as first:
        taken = first.metrics_address
        with pytest.raises(AddressInUseError, match=str(taken)):
            rlmesh.EnvServer(ScriptedEnv(), metrics=taken)
    # It is free again, also after a server that never began.
    second = rlmesh.EnvServer(ScriptedEnv(), metrics=taken)
    if begins:
        second.start()
    second.shutdown()
    rlmesh.EnvServer(ScriptedEnv(), metrics=taken).shutdown()


def test_metrics_stay_on_this_machine_unless_told_otherwise() -> None:
    with pytest.raises(InvalidAddressError, match=r"reachable from other machines.*insecure=True"):
        rlmesh.EnvServer(ScriptedEnv(), metrics="0.0.0.0:0", token="a-token-of-the-test")
    server = rlmesh.EnvServer(
        ScriptedEnv(), metrics="0.0.0.0:0", token="a-token-of-the-test", insecure=True
    )
    server.shutdown()
    with pytest.raises(InvalidAddressError, match="metrics must be a TCP address"):
        rlmesh.EnvServer(ScriptedEnv(), metrics="unix:///tmp/metrics.sock")


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "prometheus_client" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(StateError, match=r"pip install 'rlmesh\[metrics\]'"):
        rlmesh.EnvServer(ScriptedEnv(), metrics=ANYWHERE)


def _families(text: str) -> dict[str, tuple[str, tuple[str, ...] | None]]:
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, tuple[str, tuple[str, ...] | None]] = {}
    for family in text_string_to_metric_families(text):
        labels = {tuple(sample.labels) for sample in family.samples}
        assert len(labels) <= 1, family.name
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = family.type, labels.pop() if labels else None
    return found
