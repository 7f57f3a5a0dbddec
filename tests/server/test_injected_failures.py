"""Whatever an environment does wrong is a typed error, logged once, and mended by a reset."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Generator
from typing import Any, NoReturn

import numpy as np
import pytest
from gymnasium import spaces

from rlmesh.errors import (
    InvalidObservationError,
    InvalidResultError,
    RemoteEnvError,
    RlmeshError,
)
from support.notes import add_note
from support.sample_envs import ScriptedEnv
from support.serving import remote, remote_vector, serving

pytestmark = pytest.mark.usefixtures("transports_in_turn")

ZERO = np.zeros(2, np.float32)
CALLS = ["reset", "step", "render"]


class UnpicklableError(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.nested = lambda: None

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot be pickled")


class MuteError(Exception):
    """Its every text raises."""

    def __str__(self) -> str:
        raise SystemExit("in __str__")

    def __repr__(self) -> str:
        raise KeyboardInterrupt


class Nameless(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override] # whatever a metaclass may do
        raise RuntimeError("no module")


class OfNamelessError(Exception, metaclass=Nameless):
    pass


def noted() -> Exception:
    error = ValueError("the gripper is stuck")
    add_note(error, "joint 4 \ud800 was hot")
    return error


def with_causes(depth: int = 500) -> Exception:
    error: Exception = ValueError("the first")
    for number in range(depth):
        outer = ValueError(f"number {number}")
        outer.__cause__ = error
        error = outer
    return error


def in_a_circle() -> Exception:
    error, other = ValueError("hen"), ValueError("egg")
    error.__cause__, other.__cause__ = other, error
    return error


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "an exception": lambda: ValueError("the gripper is stuck"),
    "no message": ValueError,
    "a newline": lambda: ValueError("one\ntwo"),
    "a lone surrogate": lambda: ValueError("\ud800 and \0"),
    "notes": noted,
    "causes": with_causes,
    "a circle of causes": in_a_circle,
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": lambda: StopIteration("value"),
    "MemoryError": MemoryError,
    "RecursionError": lambda: RecursionError("maximum recursion depth exceeded"),
    "TimeoutError": lambda: TimeoutError("the simulator did not answer"),
    "an unpicklable exception": UnpicklableError,
    "an exception without a text": MuteError,
    "an exception without a name": OfNamelessError,
    "a syntax error": lambda: SyntaxError("bad", ("file.xml", 3, 1, "<robot", 3, 2)),
    "a unicode error": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
}
if sys.version_info >= (3, 11):
    EXCEPTIONS.update(
        {
            "a group": lambda: ExceptionGroup("all arms", [ValueError("left"), TypeError("right")]),
            "a base group": lambda: BaseExceptionGroup("both", [SystemExit(1), ValueError("x")]),
        }
    )


def raiser(make: Callable[[], BaseException]) -> Callable[[], Any]:
    def act() -> NoReturn:
        raise make()

    return act


def call(client: Any, name: str) -> Any:
    return client.step(ZERO) if name == "step" else getattr(client, name)()


@contextlib.contextmanager
def logged_once(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    caplog.clear()
    with caplog.at_level(logging.INFO, "rlmesh"):
        yield
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(records) == 1
    assert records[0].name == "rlmesh.server"


def assert_mended(env: ScriptedEnv, client: Any) -> None:
    env.script.clear()
    observation, _ = client.reset(seed=0)
    np.testing.assert_array_equal(observation, ZERO)
    client.step(ZERO)
    client.render()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("what", EXCEPTIONS)
def test_whatever_an_environment_raises_is_told_logged_once_and_mended(
    what: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script[name] = raiser(EXCEPTIONS[what])
        with logged_once(caplog), pytest.raises(RemoteEnvError, match=rf"{name}\(\)") as caught:
            call(client, name)
        assert caught.value.exception_type
        assert caught.value.exception_message or what in (
            "no message",
            "KeyboardInterrupt",
            "GeneratorExit",
            "MemoryError",
            "an exception without a name",
        )
        assert "Traceback" in caught.value.remote_traceback or "no traceback" in str(caught.value)
        assert_mended(env, client)


def test_the_traceback_begins_with_the_environments_own_code() -> None:
    env = ScriptedEnv()
    env.script["reset"] = raiser(lambda: ValueError("stuck"))
    with remote(env) as client, pytest.raises(RemoteEnvError) as caught:
        client.reset()
    lines = caught.value.remote_traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "sample_envs.py" in lines[1]
    assert lines[-1] == "ValueError: stuck"


def test_notes_and_causes_are_in_the_traceback() -> None:
    env = ScriptedEnv()

    def act() -> NoReturn:
        try:
            raise OSError("the bus is down")
        except OSError as error:
            raise noted() from error

    env.script["reset"] = act
    with remote(env) as client, pytest.raises(RemoteEnvError) as caught:
        client.reset()
    trace = caught.value.remote_traceback
    assert "OSError: the bus is down" in trace
    assert "direct cause" in trace
    if sys.version_info >= (3, 11):  # before, a traceback shows no notes
        assert "joint 4 \\ud800 was hot" in trace


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no groups")
def test_every_member_of_a_group_is_in_the_traceback() -> None:
    env = ScriptedEnv()
    env.script["reset"] = raiser(EXCEPTIONS["a group"])
    with remote(env) as client, pytest.raises(RemoteEnvError) as caught:
        client.reset()
    assert caught.value.exception_type == "ExceptionGroup"
    assert "ValueError: left" in caught.value.remote_traceback
    assert "TypeError: right" in caught.value.remote_traceback


def test_a_real_recursion_without_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def odd(depth: int) -> int:
        return even(depth + 1)

    def even(depth: int) -> int:
        return odd(depth + 1)

    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script["step"] = lambda: odd(0)
        with logged_once(caplog), pytest.raises(RemoteEnvError, match="recursion") as caught:
            client.step(ZERO)
        assert len(caught.value.remote_traceback) < 100_000
        assert_mended(env, client)


def test_a_huge_message_is_bounded_for_the_client_and_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script["step"] = raiser(lambda: ValueError("begin" + "x" * 20_000_000 + "end"))
        with logged_once(caplog), pytest.raises(RemoteEnvError) as caught:
            client.step(ZERO)
        error = caught.value
        assert len(error.exception_message) < 10_000
        assert error.exception_message.startswith("begin")
        assert error.exception_message.endswith("end")
        assert "characters ...]" in error.exception_message
        assert len(str(error)) < 100_000
        assert sum(len(record.getMessage()) for record in caplog.records) < 100_000
        assert_mended(env, client)


class Raising:
    """A value of the environment whose every use raises."""

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise SystemExit("in __array__")

    def __float__(self) -> NoReturn:
        raise SystemExit("in __float__")

    def __bool__(self) -> NoReturn:
        raise SystemExit("in __bool__")

    def __len__(self) -> NoReturn:
        raise SystemExit("in __len__")

    def __repr__(self) -> NoReturn:
        raise SystemExit("in __repr__")


class RaisingInfo(dict[str, Any]):
    def __iter__(self) -> NoReturn:
        raise SystemExit("in __iter__")

    def items(self) -> NoReturn:
        raise SystemExit("in items")


HOSTILE: dict[str, tuple[str, Callable[[], Any]]] = {
    "observation of reset": ("reset", lambda: (Raising(), {})),
    "observation of step": ("step", lambda: (Raising(), 0.0, False, False, {})),
    "reward": ("step", lambda: (ZERO, Raising(), False, False, {})),
    "flag": ("step", lambda: (ZERO, 0.0, Raising(), False, {})),
    "done": ("step", lambda: (ZERO, 0.0, Raising(), {})),
    "TimeLimit.truncated": (
        "step",
        lambda: (ZERO, 0.0, True, {"TimeLimit.truncated": Raising()}),
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_result_whose_reading_raises_is_a_typed_error(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    name, returned = HOSTILE[what]
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script[name] = returned
        with logged_once(caplog), pytest.raises((RemoteEnvError, InvalidResultError)) as e:
            call(client, name)
        error: Any = e.value
        assert error.remote_traceback
        assert isinstance(error, RlmeshError)
        assert_mended(env, client)


def test_an_info_whose_reading_raises_fails_no_step() -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script["step"] = lambda: (ZERO, 0.0, False, False, RaisingInfo(a=1))
        client.step(ZERO)
        env.script["step"] = lambda: (ZERO, 0.0, False, False, {"a": Raising()})
        client.step(ZERO)


WRONG: dict[str, tuple[str, Any]] = {
    "reset: None": ("reset", lambda: (None, {})),
    "reset: one": ("reset", lambda: (ZERO,)),
    "reset: three": ("reset", lambda: (ZERO, {}, {})),
    "reset: info is a list": ("reset", lambda: (ZERO, [])),
    "reset: wrong shape": ("reset", lambda: (np.zeros(3, np.float32), {})),
    "reset: NaN": ("reset", lambda: (np.full(2, np.nan, np.float32), {})),
    "step: none": ("step", lambda: ()),
    "step: three": ("step", lambda: (ZERO, 0.0, {})),
    "step: six": ("step", lambda: (ZERO, 0.0, False, False, {}, {})),
    "step: a dict": ("step", lambda: {"observation": ZERO}),
    "step: NaN": ("step", lambda: (np.full(2, np.nan, np.float32), 0.0, False, False, {})),
    "step: wrong type": ("step", lambda: ("up", 0.0, False, False, {})),
    "step: reward is a text": ("step", lambda: (ZERO, "1", False, False, {})),
    "step: reward has two": ("step", lambda: (ZERO, ZERO, False, False, {})),
    "step: flag is a text": ("step", lambda: (ZERO, 0.0, "no", False, {})),
    "step: flag is two": ("step", lambda: (ZERO, 0.0, False, 2, {})),
    "step: info is a list": ("step", lambda: (ZERO, 0.0, False, False, [])),
    "step: info is a text": ("step", lambda: (ZERO, 0.0, False, False, "{}")),
}


WRONG_OBSERVATIONS = (
    "reset: None",
    "reset: wrong shape",
    "reset: NaN",
    "step: NaN",
    "step: wrong type",
)


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_result_is_told_with_its_traceback_logged_once_and_mended(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    name, returned = WRONG[what]
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script[name] = returned
        kind: Any = InvalidObservationError if what in WRONG_OBSERVATIONS else InvalidResultError
        with logged_once(caplog), pytest.raises(kind, match=name) as caught:
            call(client, name)
        assert caught.value.remote_traceback.startswith("Traceback")
        assert_mended(env, client)


def test_an_action_that_is_refused_is_logged_once_and_leaves_the_episode_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        client.step(np.ones(2, np.float32))
        with pytest.raises(RlmeshError, match="The environment was not called"):
            client.step([0.0, np.nan])
        observation, *_ = client.step(ZERO)
        np.testing.assert_array_equal(observation, np.ones(2, np.float32))
    assert env.names().count("step") == 2


@pytest.mark.parametrize("what", EXCEPTIONS)
def test_a_close_that_raises_is_logged_once_and_ends_the_server_all_the_same(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    env = ScriptedEnv()
    env.script["close"] = raiser(EXCEPTIONS[what])
    with logged_once(caplog):
        with serving(env) as server:
            pass
        assert server.wait(0) is True
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "close() raised" in record.getMessage()


def test_a_sub_env_that_raises_is_told_and_the_vector_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Members:
        num_envs = 2
        single_observation_space = single_action_space = spaces.Discrete(3)
        broken = False

        def reset(self, seed: Any = None, options: Any = None) -> Any:
            return np.zeros(2, np.int64), {}

        def step(self, actions: Any) -> Any:
            if self.broken:
                raise ValueError("sub-environment 1 fell over")
            return np.zeros(2, np.int64), np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), {}

        def close(self) -> None: ...

    envs = Members()
    with remote_vector(envs) as client:
        client.reset()
        envs.broken = True
        with (
            logged_once(caplog),
            pytest.raises(RemoteEnvError, match="sub-environment 1 fell over"),
        ):
            client.step([0, 1])
        envs.broken = False
        client.reset()
        client.step([0, 1])


def test_an_exception_lets_go_of_what_the_environment_held() -> None:
    import gc
    import weakref

    class Held:
        pass

    found: list[weakref.ref[Held]] = []

    def act() -> NoReturn:
        held = Held()
        found.append(weakref.ref(held))
        raise ValueError("with a frame that holds something")

    env = ScriptedEnv()
    gc.disable()
    try:
        with remote(env) as client:
            client.reset(seed=0)
            env.script["step"] = act
            with pytest.raises(RemoteEnvError):
                client.step(ZERO)
            env.script.clear()
            client.reset()
            assert found[0]() is None
    finally:
        gc.enable()
