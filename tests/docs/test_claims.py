"""What the tables of the documentation say and no other test holds; see test_tables.py."""

from __future__ import annotations

import contextlib
import enum
import pathlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc
import gymnasium
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import StickyAction

import rlmesh
from rlmesh import errors
from rlmesh.address import parse_address
from rlmesh.client.probing import request_shutdown
from rlmesh_api._enums import StrEnum
from support.plain_envs import PlainCounter, PlainVector
from support.processes import run
from support.sample_envs import Gate, ScriptedEnv, make
from support.serving import remote, remote_vector, serving


class OldGym:
    """An environment as Gym before 0.26 had it."""

    observation_space = spaces.Discrete(5)
    action_space = spaces.Discrete(2)

    def reset(self) -> int:
        return 0

    def step(self, action: int) -> tuple[int, float, bool, dict[str, Any]]:
        return 1, 1.0, True, {"TimeLimit.truncated": action == 1}

    def close(self) -> None:
        pass


class Returning(gymnasium.Env[Any, Any]):
    """Observes what the test wants, in a space that it chooses, and keeps its last action."""

    def __init__(self, space: spaces.Space[Any], start: Any) -> None:
        self.observation_space = self.action_space = space
        self.observation = start
        self.info: dict[Any, Any] = {}
        self.action: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[Any, Any]]:
        super().reset(seed=seed)
        return self.observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[Any, Any]]:
        self.action = action
        return self.observation, 0.0, False, False, self.info


# Serving.


@pytest.mark.parametrize(
    "make_env",
    [
        lambda: gymnasium.wrappers.TimeLimit(make("CartPole-v1"), 3),
        PlainCounter,
        OldGym,
    ],
    ids=["wrapped", "plain", "old"],
)
def test_a_single_environment_is_driven_with_remote_env(make_env: Callable[[], Any]) -> None:
    with remote(make_env()) as env:
        env.reset()
        assert len(env.step(env.action_space.sample())) == 5


@pytest.mark.parametrize(
    "make_env",
    [
        lambda: make("CartPole-v1", 2),
        lambda: [make("CartPole-v1"), make("CartPole-v1")],
        PlainVector,
    ],
    ids=["vector", "list", "plain"],
)
def test_sub_envs_are_driven_with_remote_vector_env(make_env: Callable[[], Any]) -> None:
    with remote_vector(make_env()) as envs:
        envs.reset()
        _, rewards, *flags, _ = envs.step(envs.action_space.sample())
        assert [str(part.dtype) for part in (rewards, *flags)] == ["float64", "bool", "bool"]
        assert {part.shape for part in (rewards, *flags)} == {(envs.num_envs,)}


def test_a_client_ends_a_server_that_allows_it() -> None:
    options = rlmesh.ServeOptions(allow_remote_shutdown=True)
    with serving(ScriptedEnv(), options=options) as server:
        request_shutdown(server.address, 20)
        assert server.wait(20)


def test_a_client_does_not_end_a_server_that_does_not_allow_it() -> None:
    with serving(ScriptedEnv()) as server:
        with pytest.raises(errors.AccessDeniedError, match="allow_remote_shutdown=True"):
            request_shutdown(server.address, 20)
        assert not server.wait(0)


def test_a_client_that_asks_nothing_is_idle() -> None:
    # Long enough for a client to connect on a machine that is busy with other tests.
    options = rlmesh.ServeOptions(idle_timeout_seconds=2)
    with (
        serving(ScriptedEnv(), options=options) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as env,
    ):
        env.reset()
        assert server.wait(20)


# Driving.


def test_the_generator_of_a_client_is_its_own() -> None:
    env = make("CartPole-v1")
    with remote(env) as client:
        client.reset(seed=3)
        state = env.unwrapped.np_random.bit_generator.state
        client.np_random.random(100)
        assert env.unwrapped.np_random.bit_generator.state == state


class IgnoringSeeds(gymnasium.Env[Any, Any]):
    """Never looks at the seed of a reset."""

    observation_space = action_space = spaces.Discrete(2)
    render_mode = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return 0, 0.0, False, False, {}


def test_check_env_sees_an_ignored_seed_only_where_the_environment_is() -> None:
    with pytest.raises(AssertionError, match="random number generator"):
        check_env(IgnoringSeeds(), skip_render_check=True)
    with remote(IgnoringSeeds()) as client:
        check_env(client, skip_render_check=True)


def sticky_steps(client: gymnasium.Env[Any, Any], seed: int) -> list[float]:
    env = StickyAction(client, 0.5)
    env.reset(seed=seed)
    return [float(env.step(number % 2)[0][1]) for number in range(9)]


def test_a_wrapper_that_draws_from_the_clients_generator_is_repeatable() -> None:
    with remote(make("CartPole-v1")) as client:
        first, other, again = (sticky_steps(client, seed) for seed in (3, 4, 3))
    assert first == again
    assert first != other


def test_a_wrapper_cannot_reach_the_emulator_behind_a_client() -> None:
    with remote(make("CartPole-v1")) as client:
        with pytest.raises(AttributeError):
            _ = client.unwrapped.ale  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] # the point


# Vector environments.


class Lasting(gymnasium.Env[Any, Any]):
    """Ends its first episode after its only step, and counts them all."""

    observation_space = spaces.Discrete(100)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.episode = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode += 10
        return self.episode, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return self.episode + 1, 1.0, self.episode == 10, False, {"action": action}


def lasting(mode: AutoresetMode) -> SyncVectorEnv[Any, Any]:
    return SyncVectorEnv([Lasting, Lasting], autoreset_mode=mode)


def test_next_step_ignores_the_action_and_gives_no_reward() -> None:
    with remote_vector(lasting(AutoresetMode.NEXT_STEP)) as envs:
        envs.reset()
        observations, _, terminations, _, _ = envs.step([1, 1])
        assert (observations.tolist(), terminations.tolist()) == ([11, 11], [True, True])
        observations, rewards, *_, infos = envs.step([1, 1])
        assert (observations.tolist(), rewards.tolist()) == ([20, 20], [0.0, 0.0])
        assert "action" not in infos


def test_same_step_gives_the_end_in_the_info() -> None:
    with remote_vector(lasting(AutoresetMode.SAME_STEP)) as envs:
        envs.reset()
        observations, _, terminations, _, infos = envs.step([1, 0])
    assert (observations.tolist(), terminations.tolist()) == ([20, 20], [True, True])
    assert infos["final_obs"].tolist() == [11, 11]
    assert infos["final_info"]["action"].tolist() == [1, 0]


def test_disabled_resets_the_sub_envs_of_the_mask() -> None:
    with remote_vector(lasting(AutoresetMode.DISABLED)) as envs:
        envs.reset()
        envs.step([0, 0])
        observations, _ = envs.reset(options={"reset_mask": np.array([True, False])})
        assert observations.tolist() == [20, 11]


def test_an_integer_seeds_the_sub_envs_one_after_the_other() -> None:
    with remote_vector(make("Acrobot-v1", 3)) as envs:
        by_number, _ = envs.reset(seed=5)
        by_list, _ = envs.reset(seed=[5, 6, 7])
        with_none, _ = envs.reset(seed=(5, None, 7))
    assert np.array_equal(by_number, by_list)
    assert np.array_equal(with_none[[0, 2]], by_list[[0, 2]])
    assert not np.array_equal(with_none[1], by_list[1])


# Conformance: every rule for observations and for actions, through a real server.

BOX = spaces.Box(-1, 1, (2,), np.float32)
# Gymnasium's types know bool for no dtype of a Box.
BOOL: Any = np.bool_
TAKEN = {
    "a list": (BOX, [0.5, 0.25]),
    "big-endian and strided": (BOX, np.array([0.5, 9, 0.25, 9], ">f8")[::2]),
    "a tuple of integers": (BOX, (1, 0)),
    "integral floats": (spaces.Box(0, 255, (2,), np.uint8), np.array([3.0, 4.0])),
    "another integer dtype": (spaces.Box(0, 255, (2,), np.uint8), np.array([3, 4], np.int64)),
    "an int": (spaces.Discrete(3), 2),
    "a NumPy integer": (spaces.Discrete(3), np.uint8(2)),
    "an integral float": (spaces.Discrete(3), 1.0),
    "an array without axes": (spaces.Discrete(3), np.array(2)),
    "zeros and ones": (spaces.Box(0, 1, (4,), BOOL), [0, 1, 0.0, 1.0]),
    "any mapping": (spaces.Dict({"a": spaces.Discrete(2)}), OrderedDict(a=1)),
    "a list for a tuple": (spaces.Tuple((spaces.Discrete(2),)), [1]),
}
REFUSED = {
    "another shape": (BOX, np.zeros((2, 1), np.float32)),
    "a text": (BOX, ["a", "b"]),
    "a complex number": (BOX, [1j, 0]),
    "a fraction": (spaces.Box(0, 255, (1,), np.uint8), [0.5]),
    "a number beyond its dtype": (spaces.Box(0, 255, (1,), np.uint8), [300]),
    "an array with an axis": (spaces.Discrete(3), np.array([1])),
    "neither 0 nor 1": (spaces.Box(0, 1, (1,), BOOL), [2]),
    "a missing key": (spaces.Dict({"a": spaces.Discrete(2)}), {}),
    "an additional key": (spaces.Dict({"a": spaces.Discrete(2)}), {"a": 1, "b": 1}),
    "another length": (spaces.Tuple((spaces.Discrete(2),)), (1, 1)),
    "beyond a Discrete": (spaces.Discrete(3), 3),
    "beyond a MultiDiscrete": (spaces.MultiDiscrete([3, 3]), [0, 3]),
    "beyond a MultiBinary": (spaces.MultiBinary(2), [0, 2]),
    "NaN": (BOX, [np.nan, 0]),
}
TEXT = spaces.Text(max_length=3, min_length=2, charset="ab")
DEVIATING = {
    "bounds": (BOX, [1.5, 0]),
    "overflow": (spaces.Box(-np.inf, np.inf, (1,), np.float32), [1e300]),
    "charset": (TEXT, "xyz"),
    "length": (TEXT, "aaaa"),
}


@pytest.mark.parametrize("space_and_value", TAKEN.values(), ids=TAKEN)
def test_what_is_exact_is_taken(space_and_value: tuple[spaces.Space[Any], Any]) -> None:
    space, value = space_and_value
    env = Returning(space, value)
    with remote(env) as client:
        observation, info = client.reset()
        assert (observation in space, info) == (True, {})
        client.step(value)
        assert env.action in space


@pytest.mark.parametrize("policy", ["warn", "strict", "off"])
@pytest.mark.parametrize("space_and_value", REFUSED.values(), ids=REFUSED)
def test_what_never_conforms_is_rejected(
    space_and_value: tuple[spaces.Space[Any], Any], policy: str
) -> None:
    space, value = space_and_value
    env = Returning(space, good := space.sample())
    with (
        serving(env, validation=policy) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset()
        with pytest.raises(errors.InvalidActionError, match=r"\$"):
            client.step(value)
        assert env.action is None
        env.observation = value
        with pytest.raises(errors.InvalidObservationError, match=r"\$"):
            client.step(good)
        env.observation = good
        client.reset()


@pytest.mark.parametrize("kind", DEVIATING)
def test_warn_delivers_and_tells_once(kind: str) -> None:
    space, value = DEVIATING[kind]
    env = Returning(space, value)
    with remote(env) as client:
        _, info = client.reset()
        assert info == {}
        assert kind in [notice["kind"] for notice in client.notices]
        before = client.notices
        client.reset()
        assert client.notices == before


@pytest.mark.parametrize("kind", DEVIATING)
def test_strict_rejects(kind: str) -> None:
    space, value = DEVIATING[kind]
    env = Returning(space, value)
    with (
        serving(env, validation="strict") as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        with pytest.raises(errors.InvalidObservationError):
            client.reset()
        with pytest.raises(errors.InvalidActionError):
            client.step(value)
        assert env.action is None


@pytest.mark.parametrize("kind", DEVIATING)
def test_off_delivers(kind: str) -> None:
    space, value = DEVIATING[kind]
    env = Returning(space, value)
    with (
        serving(env, validation="off") as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        assert client.reset()[1] == {}
        assert client.step(value)[4] == {}
        assert env.action is not None


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Place:
    x: int


class Level(enum.IntEnum):
    ONE = 1


class Word(StrEnum):
    A = "a"


class Tensor:
    def __init__(self, value: Any) -> None:
        self._value = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self._value, dtype)


SENT_AS_IT_IS: dict[Any, Any] = {
    "plain": [None, True, 2**70, -1.5, "ß", b"\0"],
    "nested": {"a": (1, [2, {"b": ()}])},
    None: 0,
    1: 1,
    2.5: 2,
    b"key": 3,
    (1, "a"): 4,
}
BECOMES_ITS_TEXT: dict[str, Any] = {
    "a set": {1},
    "a path": pathlib.PurePosixPath("/a"),
    "an enum": Colour.RED,
    "a dataclass": Place(1),
}


def returned_info(info: dict[Any, Any]) -> dict[Any, Any]:
    return returned_with_notices(info)[0]


def returned_with_notices(
    info: dict[Any, Any],
) -> tuple[dict[Any, Any], tuple[dict[str, Any], ...]]:
    env = Returning(spaces.Discrete(1), 0)
    env.info = info
    with remote(env) as client:
        client.reset()
        arrived: dict[Any, Any] = client.step(0)[4]
        return arrived, client.notices


def test_an_info_of_builtins_arrives_as_it_was() -> None:
    assert returned_info(SENT_AS_IT_IS) == SENT_AS_IT_IS


def test_subclasses_in_an_info_arrive_as_builtins() -> None:
    info = {"ordered": OrderedDict(a=1), "point": Point(1, 2), "level": Level.ONE, "word": Word.A}
    arrived = returned_info(info)
    assert arrived == {"ordered": {"a": 1}, "point": (1, 2), "level": 1, "word": "a"}
    assert [type(value) for value in arrived.values()] == [dict, tuple, int, str]


def test_arrays_of_other_libraries_in_an_info_arrive_as_numpys() -> None:
    arrived = returned_info({"tensor": Tensor([1, 2]), "number": Tensor(1)})
    assert arrived["tensor"].tolist() == [1, 2]
    assert isinstance(arrived["number"], np.generic)
    assert arrived["number"] == 1


@pytest.mark.parametrize("value", BECOMES_ITS_TEXT.values(), ids=BECOMES_ITS_TEXT)
def test_anything_else_in_an_info_becomes_its_text_and_is_listed(value: Any) -> None:
    arrived, notices = returned_with_notices({"value": value, "other": 1})
    assert arrived == {"value": str(value), "other": 1}
    assert [lost["path"] for lost in notices] == ["$.value"]


def test_a_cycle_in_an_info_is_listed() -> None:
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    [lost] = returned_with_notices({"a": cycle})[1]
    assert (lost["path"], lost["reason"]) == ("$.a.self", "cycle")


# Errors by symptom.


def test_a_client_of_a_server_that_ended_is_told() -> None:
    with serving(ScriptedEnv()) as server:
        env = rlmesh.RemoteEnv[Any, Any](server.address)
        env.reset()
        server.shutdown()
        with pytest.raises((errors.EndpointDrainingError, errors.ConnectionLostError)):
            env.step([0, 0])
        env.close()


def test_the_registration_that_the_server_tells_is_in_the_contract() -> None:
    gymnasium.register("OnlyThere-v0", "support.sample_envs:ScriptedEnv", max_episode_steps=7)
    with serving(gymnasium.make("OnlyThere-v0")) as server:
        del gymnasium.registry["OnlyThere-v0"]
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as env:
            assert env.spec is not None
            assert env.spec.max_episode_steps == 7
            with pytest.raises(errors.InvalidEnvError, match="cannot be made here"):
                gymnasium.make(env.spec)
            assert env.env_contract.spec is not None
            assert env.env_contract.spec.max_episode_steps == 7


# Readiness.


def asked(channel: grpc.Channel, name: str) -> str:
    """What the health service says under a name; `no answer` where it says nothing."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = check(health_pb2.HealthCheckRequest(service=name), timeout=0.5)
    except grpc.RpcError:
        return "no answer"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def watch_until(channel: grpc.Channel, status: str) -> None:
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    for answer in watch(health_pb2.HealthCheckRequest(), timeout=20):
        if health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == status:
            return
    raise AssertionError(f"the health service never says {status}")


@pytest.mark.parametrize("name", ["", "rlmesh_api.v1.EnvService"])
def test_health_follows_the_life_of_a_server(name: str) -> None:
    gate = Gate()
    env = ScriptedEnv()
    env.script["step"] = gate.wait
    with (
        contextlib.ExitStack() as at_end,
        ThreadPoolExecutor(2) as pool,
    ):
        server = rlmesh.EnvServer(env)
        at_end.callback(server.shutdown)
        at_end.callback(gate.open)
        target = parse_address(server.address).dial_target
        channel = at_end.enter_context(grpc.insecure_channel(target))
        assert asked(channel, name) == "no answer"
        server.start()
        watch_until(channel, "SERVING")
        client = rlmesh.RemoteEnv[Any, Any](server.address)
        client.reset()
        answer = pool.submit(client.step, [0, 0])
        assert gate.reached.wait(20)
        assert asked(channel, name) == "SERVING"
        ended = pool.submit(server.shutdown)
        watch_until(channel, "NOT_SERVING")
        assert asked(channel, name) == "NOT_SERVING"
        gate.open()
        answer.result(20)
        ended.result(20)
        assert asked(channel, name) == "no answer"
        client.close()


def test_idleness_ends_the_command_with_exit_code_0() -> None:
    ended = run("serve", "CartPole-v1", "--idle-timeout-seconds=0.1")
    assert (ended.code, ended.err) == (0, "")
