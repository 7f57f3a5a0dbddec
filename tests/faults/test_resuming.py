"""A connection that breaks at any time: the episode goes on bit for bit, each call is made once."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import pytest

import rlmesh
from rlmesh.server.rpc import listeners
from rlmesh.transports.grpc import options as grpc_options
from support.chaos import FAULTS, ChaosProxy
from support.comparing import assert_same
from support.serving import serving
from support.vector_envs import SubEnv, record, sync_sub_envs
from support.vector_envs import told as told_sub_envs

STEPS = 60
SEEDS = [2, 9, 11]


class Counting(SubEnv):
    """`SubEnv` that counts its calls, and can have something happen in the middle of a step."""

    def __init__(self) -> None:
        super().__init__("dict")
        self.counts: Counter[str] = Counter()
        self.meanwhile: Callable[[], object] = lambda: None

    def reset(self, **arguments: Any) -> Any:
        self.counts["reset"] += 1
        return super().reset(**arguments)

    def step(self, action: Any) -> Any:
        self.counts["step"] += 1
        self.meanwhile()
        return super().step(action)

    def render(self) -> Any:
        self.counts["render"] += 1
        return super().render()

    def scale(self, factor: float, *, plus: float = 0.0) -> Any:
        self.counts["scale"] += 1
        return super().scale(factor, plus=plus)


def told(env: Any, seed: int, *, before: Callable[[int], object] = lambda _: None) -> list[Any]:
    """What an environment, local or remote, tells a client that makes calls of every kind."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    env.action_space.seed(seed)
    found: list[Any] = [env.reset(seed=seed, options={"x": 1})]
    over = False
    for number in range(STEPS):
        before(number)
        kind = "reset" if over else chance.choice(["step"] * 6 + ["many", "render", "scale", "set"])
        if kind == "reset":
            found.append(env.reset())
            over = False
        elif kind == "step":
            found.append(env.step(env.action_space.sample()))
            over = found[-1][2] or found[-1][3]
        elif kind == "many":
            actions = [env.action_space.sample() for _ in range(chance.randint(2, 5))]
            found += many(env, actions)
            over = found[-1][1] or found[-1][2]
        elif kind == "render":
            found.append(env.render())
        elif kind == "scale":
            found.append(env.get_wrapper_attr("scale")(number, plus=0.5))
        else:
            env.set_wrapper_attr("level", number)
    return found


def many(env: Any, actions: list[Any]) -> list[Any]:
    """Several steps at once, or one after the other where that cannot be."""
    if hasattr(env, "step_many"):
        made = env.step_many(actions)
        return list(
            zip(
                made.rewards.tolist(),
                made.terminations.tolist(),
                made.truncations.tolist(),
                made.infos,
                strict=True,
            )
        )
    found: list[Any] = []
    for action in actions:
        found.append(env.step(action)[1:])
        if found[-1][1] or found[-1][2]:
            break
    return found


@contextlib.contextmanager
def offering(proxy: ChaosProxy, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Has clients be told that the direct transport is to be had at a proxy."""

    def told_instead(_: object) -> str:
        return proxy.authority

    with monkeypatch.context() as patch:
        patch.setattr(listeners, "_offered", told_instead)
        yield


@contextlib.contextmanager
def behind(
    proxies: dict[str, ChaosProxy], env: Any, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> Generator[str]:
    """A server behind a proxy, its direct transport behind another; the first one's address."""
    with (
        offering(proxies["direct"], monkeypatch),
        serving(env, direct="tcp://127.0.0.1:0", **settings) as server,
    ):
        assert server.direct_address is not None
        proxies["grpc"].lead_to(server.address)
        proxies["direct"].lead_to(server.direct_address)
        yield f"tcp://{proxies['grpc'].authority}"


@contextlib.contextmanager
def chaos(seed: int, **settings: Any) -> Generator[dict[str, ChaosProxy]]:
    """A proxy for the stream and one for the direct transport."""
    with ChaosProxy(seed, **settings) as grpc, ChaosProxy(seed + 1000, **settings) as direct:
        yield {"grpc": grpc, "direct": direct}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("transport", ["grpc", "direct"])
def test_behind_a_proxy_that_breaks_connections_an_episode_is_what_it_is_without(
    transport: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, env = Counting(), Counting()
    expected = told(local, seed)
    with (
        chaos(seed, faults=FAULTS, every=(1, 3000), most=8) as proxies,
        behind(proxies, env, monkeypatch, expose=["scale", "level"]) as address,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](address, transport=transport)) as client,
    ):
        assert client.transport == transport
        for proxy in proxies.values():
            proxy.begin()
        found = told(client, seed)
        happened = {name: proxy.happened for name, proxy in proxies.items()}
    print(f"seed {seed}: {happened}")  # noqa: T201 - for whoever has to find out why it failed
    assert sum(map(len, happened.values())) > 4
    assert_same(found, expected)
    assert (env.counts, env.level) == (local.counts, local.level)


@pytest.mark.parametrize("transport", ["grpc", "direct"])
def test_an_episode_in_a_worker_goes_on_too(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = told(Counting(), SEEDS[0])
    settings = {"expose": ["scale", "level"], "isolation": "process"}
    with (
        chaos(SEEDS[0], faults=FAULTS, every=(1, 3000), most=8) as proxies,
        behind(proxies, Counting, monkeypatch, **settings) as address,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](address, transport=transport)) as client,
    ):
        for proxy in proxies.values():
            proxy.begin()
        found = told(client, SEEDS[0])
        assert sum(len(proxy.happened) for proxy in proxies.values()) > 4
    assert_same(found, expected)


Break = Callable[[dict[str, ChaosProxy], Any, Any], object]

BREAKS: dict[tuple[str, str], Break] = {
    ("shm", "the client's end"): lambda _, client, server: (
        client._env_client._call_client._transport._pipe.close()
    ),
    ("shm", "the server's end"): lambda _, client, server: [
        session.receiver and session.receiver.close()
        for session in server._life._manager.sessions()
    ],
    ("shm", "the stream"): lambda proxies, _, __: proxies["grpc"].cut(),
    ("direct", "the transport"): lambda proxies, _, __: proxies["direct"].cut(),
    ("direct", "the stream"): lambda proxies, _, __: proxies["grpc"].cut(),
    ("grpc", "the stream"): lambda proxies, _, __: proxies["grpc"].cut(),
}


@pytest.mark.parametrize(("transport", "what"), BREAKS)
def test_what_breaks_between_calls_and_in_them_is_not_seen_in_an_episode(
    transport: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, env = Counting(), Counting()
    expected = told(local, 7)
    with (
        chaos(7) as proxies,
        offering(proxies["direct"], monkeypatch),
        serving(env, direct="tcp://127.0.0.1:0", expose=["scale", "level"]) as server,
    ):
        assert server.direct_address is not None
        proxies["grpc"].lead_to(server.address)
        proxies["direct"].lead_to(server.direct_address)
        address = f"tcp://{proxies['grpc'].authority}"
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address, transport=transport)) as client:
            breaks: list[str] = []

            def break_now(when: str) -> None:
                breaks.append(when)
                BREAKS[transport, what](proxies, client, server)

            def in_step() -> None:
                if env.counts["step"] % 9 == 0:
                    break_now("in a step")

            env.meanwhile = in_step
            found = told(client, 7, before=lambda n: break_now("between") if n % 12 == 1 else None)
            assert client.transport == transport
    assert set(breaks) == {"between", "in a step"}
    assert_same(found, expected)
    assert (env.counts, env.level) == (local.counts, local.level)


@pytest.mark.parametrize("transport", ["grpc", "direct"])
def test_sub_envs_of_a_vector_environment_go_on_behind_a_proxy_that_breaks_connections(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = record(sync_sub_envs(), 40)
    with (
        chaos(5, most=6) as proxies,
        behind(proxies, sync_sub_envs(), monkeypatch) as address,
        contextlib.closing(
            rlmesh.RemoteVectorEnv[Any, Any](address, transport=transport)
        ) as client,
    ):
        for proxy in proxies.values():
            proxy.begin()
        assert_same(list(told_sub_envs(client, 40)), expected)


@pytest.mark.parametrize("transport", ["grpc", "direct"])
def test_a_network_over_which_nothing_comes_any_more_is_noticed(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_options, "PING_SECONDS", 0.4)
    monkeypatch.setattr(grpc_options, "CLIENT_PONG_SECONDS", 0.4)
    monkeypatch.setattr(grpc_options, "SERVER_PONG_SECONDS", 0.4)
    local, env = Counting(), Counting()
    expected = told(local, 3)
    with (
        chaos(3) as proxies,
        behind(proxies, env, monkeypatch, expose=["scale", "level"]) as address,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](address, transport=transport)) as client,
    ):

        def stall(number: int) -> None:
            if number == 20:
                for proxy in proxies.values():
                    proxy.stall()

        assert_same(told(client, 3, before=stall), expected)
        assert client.transport == transport
    assert env.counts == local.counts
