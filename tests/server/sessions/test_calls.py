"""What reaches the environment, on which thread, and what becomes of its exceptions."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.errors import (
    InvalidObservationError,
    InvalidResultError,
    RemoteEnvError,
    RlmeshError,
)
from support.comparing import assert_same
from support.raising_env import CAUGHT, RaisingEnv, raiser
from support.sample_envs import ScriptedEnv
from support.serving import remote, remote_vector, serving

pytestmark = pytest.mark.usefixtures("each_transport")

ACTION = np.array([0.5, -0.25], np.float32)


class HardwareError(Exception):
    """What no standard library knows."""


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def call(client: rlmesh.RemoteEnv[Any, Any], name: str) -> Any:
    return client.step(ACTION) if name == "step" else getattr(client, name)()


@pytest.mark.parametrize("name", ["reset", "step", "render"])
def test_an_exception_of_the_environment_arrives_with_type_message_and_traceback(
    name: str,
) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script[name] = raiser(ValueError("the gripper is stuck"))
        with pytest.raises(RemoteEnvError, match="the gripper is stuck") as caught:
            call(client, name)
    error = caught.value
    assert isinstance(error, RuntimeError)
    assert isinstance(error, RlmeshError)
    assert error.exception_type == "ValueError"
    assert error.exception_message == "the gripper is stuck"
    assert error.remote_traceback.startswith("Traceback (most recent call last)")
    assert "sample_envs.py" in error.remote_traceback
    assert error.remote_traceback.rstrip().endswith("ValueError: the gripper is stuck")
    assert f"{name}()" in str(error)


@pytest.mark.parametrize("name", ["reset", "step", "render"])
def test_the_next_reset_works_after_an_exception(name: str) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script[name] = raiser(ValueError("once"))
        with pytest.raises(RemoteEnvError):
            call(client, name)
        env.script.clear()
        observation, _ = client.reset(seed=0)
        assert_same(observation, np.zeros(2, np.float32))
        client.step(ACTION)


def test_the_type_of_a_library_carries_its_module() -> None:
    env = ScriptedEnv()
    env.script["reset"] = raiser(HardwareError("red light"))
    with remote(env) as client, pytest.raises(RemoteEnvError) as caught:
        client.reset()
    assert caught.value.exception_type == f"{__name__}.HardwareError"


@pytest.mark.parametrize("isolation", [None, "process"])
def test_code_that_catches_the_built_in_type_of_an_exception_goes_on_to_work(
    isolation: str | None,
) -> None:
    served: Any = RaisingEnv() if isolation is None else RaisingEnv
    with (
        serving(served, isolation=isolation) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        for number, (error, kinds) in enumerate(CAUGHT):
            for kind in kinds:
                with pytest.raises(kind, match="reset") as caught:
                    client.reset(seed=number)
                assert isinstance(caught.value, RemoteEnvError)
                assert caught.value.exception_type.endswith(type(error).__qualname__)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), HardwareError("red")])
def test_an_exception_of_no_built_in_type_to_catch_is_a_remote_env_error_only(
    error: BaseException,
) -> None:
    env = ScriptedEnv()
    env.script["reset"] = raiser(error)
    with remote(env) as client, pytest.raises(RemoteEnvError) as caught:
        client.reset()
    assert type(caught.value) is RemoteEnvError


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(1), UnprintableError("x")],
    ids=lambda error: type(error).__name__,
)
def test_no_exception_of_the_environment_ends_the_server(error: BaseException) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script["step"] = raiser(error)
        with pytest.raises(RemoteEnvError) as caught:
            client.step(ACTION)
        assert caught.value.exception_type.endswith(type(error).__name__)
        env.script.clear()
        client.reset(seed=0)
        client.step(ACTION)


def test_an_exception_is_logged_on_the_server(caplog: pytest.LogCaptureFixture) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        env.script["reset"] = raiser(ValueError("the gripper is stuck"))
        with pytest.raises(RemoteEnvError):
            client.reset()
    (record,) = [r for r in caplog.records if "the gripper is stuck" in r.getMessage()]
    assert record.name.startswith("rlmesh")
    assert "Traceback" in caplog.text


def test_an_environment_without_render_says_so() -> None:
    class Blind:
        observation_space = spaces.Discrete(2)
        action_space = spaces.Discrete(2)

        def reset(self, seed: Any = None, options: Any = None) -> Any:
            return 0, {}

        def step(self, action: Any) -> Any:
            return 0, 0.0, False, False, {}

        def close(self) -> None: ...

    with remote(Blind()) as client:
        client.reset()
        with pytest.raises(RemoteEnvError, match="render"):
            client.render()
        client.step(1)


WRONG_RESULTS: dict[str, tuple[str, Any, str]] = {
    "reset gives three": ("reset", (np.zeros(2, np.float32), {}, {}), "tuple of 3"),
    "step gives three": ("step", (np.zeros(2, np.float32), 0.0, {}), "tuple of 3"),
    "step gives a list of three": ("step", [np.zeros(2, np.float32), 0.0, {}], "list of 3"),
    "info is a list": ("step", (np.zeros(2, np.float32), 0.0, False, False, []), "info"),
    "info is a text": ("reset", (np.zeros(2, np.float32), "{}"), "info"),
    "reward is a text": ("step", (np.zeros(2, np.float32), "1", False, False, {}), "reward"),
    "reward is None": ("step", (np.zeros(2, np.float32), None, False, False, {}), "reward"),
    "reward is ragged": (
        "step",
        (np.zeros(2, np.float32), [[1], [1, 2]], False, False, {}),
        "reward",
    ),
    "reward is complex": ("step", (np.zeros(2, np.float32), 1j, False, False, {}), "reward"),
    "flag is two": ("step", (np.zeros(2, np.float32), 0.0, 2, False, {}), "terminated"),
    "flag is None": ("step", (np.zeros(2, np.float32), 0.0, False, None, {}), "truncated"),
    "wrong shape": ("step", (np.zeros(3, np.float32), 0.0, False, False, {}), r"\(3,\)"),
    "wrong number of axes": ("reset", (np.zeros((2, 1), np.float32), {}), r"\(2, 1\)"),
    "not a number": ("reset", (np.array([np.nan, 0], np.float32), {}), r"\$"),
    "no observation": ("reset", (None, {}), r"\$"),
}


WRONG_OBSERVATIONS = ("wrong shape", "wrong number of axes", "not a number", "no observation")


@pytest.mark.parametrize("what", WRONG_RESULTS)
def test_a_result_that_the_contract_excludes_is_a_typed_error(what: str) -> None:
    name, result, message = WRONG_RESULTS[what]
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script[name] = lambda: result
        kind = InvalidObservationError if what in WRONG_OBSERVATIONS else InvalidResultError
        with pytest.raises(kind, match=message) as caught:
            call(client, name)
        assert isinstance(caught.value, ValueError)
        env.script.clear()
        client.reset(seed=0)
        client.step(ACTION)


OBSERVATION = np.ones(2, np.float32)
ODD_BUT_UNPACKABLE: dict[str, tuple[str, Any]] = {
    "reset gives a list": ("reset", [OBSERVATION, {"a": 1}]),
    "reset gives None as info": ("reset", (OBSERVATION, None)),
    "reset gives a list with None": ("reset", [OBSERVATION, None]),
    "step gives a list": ("step", [OBSERVATION, 1.5, False, True, {"a": 1}]),
    "step gives None as info": ("step", (OBSERVATION, 1.5, False, True, None)),
    "step gives a list of four": ("step", [OBSERVATION, 1.5, True, {"TimeLimit.truncated": True}]),
    "step gives four and None": ("step", (OBSERVATION, 1.5, False, None)),
}


@pytest.mark.parametrize("what", ODD_BUT_UNPACKABLE)
def test_what_code_in_the_same_process_unpacks_is_taken(what: str) -> None:
    name, returned = ODD_BUT_UNPACKABLE[what]
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script[name] = lambda: returned
        observation, *rest = call(client, name)
        assert observation.tolist() == [1, 1]
        assert rest[-1] == (returned[-1] or {})
        if name == "step":
            assert rest[0] == 1.5
            assert rest[1:3] == [False, what != "step gives four and None"]


@pytest.mark.parametrize(
    ("rewards", "terminations", "message"),
    [
        (np.zeros(3), np.zeros(2, bool), r"rewards.*\(2,\).*\(3,\)"),
        ([0.0, None], np.zeros(2, bool), "rewards"),
        (["0", "1"], np.zeros(2, bool), "rewards"),
        (np.zeros(2), np.zeros((2, 1), bool), "terminations"),
        (np.zeros(2), [0, 2], "terminations"),
        (np.zeros(2), [[True], [True, False]], "terminations"),
    ],
)
def test_results_of_sub_envs_that_are_none_are_a_typed_error(
    rewards: Any, terminations: Any, message: str
) -> None:
    class Members:
        num_envs = 2
        single_observation_space = single_action_space = spaces.Discrete(2)

        def reset(self, seed: Any = None, options: Any = None) -> Any:
            return np.zeros(2, np.int64), {}

        def step(self, actions: Any) -> Any:
            return np.zeros(2, np.int64), rewards, terminations, np.zeros(2, bool), {}

        def close(self) -> None: ...

    with remote_vector(Members()) as client:
        client.reset()
        with pytest.raises(InvalidResultError, match=message):
            client.step([0, 1])
        client.reset()


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.array(2.5), 2.5),
        (np.int64(-3), -3.0),
        (float("-inf"), float("-inf")),
        (float("nan"), float("nan")),
    ],
)
def test_any_real_scalar_is_a_reward(reward: Any, expected: float) -> None:
    env = ScriptedEnv()
    env.script["step"] = lambda: (np.zeros(2, np.float32), reward, False, False, {})
    with remote(env) as client:
        client.reset()
        assert_same(client.step(ACTION)[1], expected)


@pytest.mark.parametrize("flag", [True, np.True_, 1, np.uint8(1), np.array(True), 1.0])
def test_any_bool_or_one_is_a_flag(flag: Any) -> None:
    env = ScriptedEnv()
    env.script["step"] = lambda: (np.zeros(2, np.float32), 0.0, flag, flag, {})
    with remote(env) as client:
        client.reset()
        assert client.step(ACTION)[2:4] == (True, True)
        assert type(client.step(ACTION)[2]) is bool


def test_all_calls_come_from_one_thread_that_is_no_client_thread() -> None:
    env = ScriptedEnv()
    with serving(env) as server:
        for _ in range(3):
            with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
                client.reset(seed=0)
                client.step(ACTION)
                client.render()
    assert env.names()[-1] == "close"
    assert len(env.threads()) == 1
    assert threading.get_ident() not in env.threads()


def test_with_serve_all_calls_come_on_the_calling_thread() -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    serving_thread = threading.Thread(target=server.serve)
    serving_thread.start()
    with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
        client.reset(seed=0)
        client.step(ACTION)
        client.render()
    ident = serving_thread.ident
    server.shutdown()
    serving_thread.join(20)
    assert env.names() == ["reset", "step", "render", "close"]
    assert env.threads() == {ident}


def test_seed_and_options_reach_the_environment_as_they_were_given() -> None:
    class Noting(ScriptedEnv):
        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            given.append((seed, options))
            return super().reset(seed=seed)

    given: list[Any] = []
    options = {
        "level": 3,
        "start": np.array([1.5, 2.5], np.float32),
        "names": ["a", ("b", None)],
        "deep": {"flag": True, "huge": 2**70, "raw": b"\0"},
    }
    numpy_seed: Any = np.int32(7)
    with remote(Noting()) as client:
        client.reset()
        client.reset(seed=2**40)
        client.reset(seed=numpy_seed, options=options)
        client.reset(options={})
    assert_same(given, [(None, None), (2**40, None), (7, options), (None, {})])


def test_an_environment_may_write_into_its_action() -> None:
    class Writing(ScriptedEnv):
        def step(self, action: Any) -> Any:
            result = super().step(action.copy())
            action[:] = 9
            return result

    with remote(Writing()) as client:
        client.reset(seed=0)
        given = ACTION.copy()
        client.step(given)
        assert_same(given, ACTION)
        observation, *_ = client.step(given)
        assert_same(observation, ACTION + ACTION)


def test_an_environment_may_keep_its_actions() -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        for size in (0.0, 0.25, 0.5):
            client.step(np.full(2, size, np.float32))
    assert_same(env.actions, [np.full(2, size, np.float32) for size in (0.0, 0.25, 0.5)])


def test_an_environment_may_return_the_same_buffer_again_and_again() -> None:
    with remote(ScriptedEnv()) as client:
        first, _ = client.reset(seed=0)
        second, *_ = client.step(ACTION)
        third, *_ = client.step(ACTION)
    assert_same([first, second, third], [np.zeros(2, np.float32), ACTION, ACTION + ACTION])


def test_the_environment_gets_what_sample_would_give_it() -> None:
    class Typed(gymnasium.Env[Any, Any]):
        observation_space = spaces.Discrete(1)
        action_space = spaces.Dict(
            {
                "gear": spaces.Discrete(5, start=-1),
                "wheel": spaces.Box(-1, 1, (2,), np.float32),
                "keys": spaces.Tuple((spaces.MultiBinary(3), spaces.MultiDiscrete([2, 3]))),
                "word": spaces.Text(4),
            }
        )

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            return 0, {}

        def step(self, action: Any) -> Any:
            given.append(action)
            return 0, 0.0, False, False, {}

    given: list[Any] = []
    loose = {
        "word": "go",
        "keys": [[1, 0, 1], (1, 2)],
        "wheel": [0.5, -1],
        "gear": 3,
    }
    with remote(Typed()) as client:
        client.reset()
        client.step(loose)
    expected = {
        "gear": np.int64(3),
        "keys": (np.array([1, 0, 1], np.int8), np.array([1, 2], np.int64)),
        "wheel": np.array([0.5, -1], np.float32),
        "word": "go",
    }
    assert_same(given, [expected])
    assert given[0]["wheel"].flags.writeable
    assert given[0]["keys"][0].flags.writeable
