"""Workers that fail, die, hang or cannot start, and that end with the program."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlmesh
from rlmesh.errors import EnvCrashedError, InvalidEnvError, RemoteEnvError
from support.frail_env import DEADLY, FrailEnv, way
from support.parallel_envs import Forking, Other, Wrong, fail_to_make
from support.process import child_processes
from support.repository import ROOT


def frail(**options: Any) -> Any:
    return rlmesh.make_vec(FrailEnv, num_envs=4, workers=2, **options)


def actions(**ways: str) -> np.ndarray[Any, Any]:
    """All count but those that are named: `e2="exit"`."""
    return np.array([way(ways.get(f"e{index}", "count")) for index in range(4)])


def test_an_exception_arrives_with_its_traceback_and_the_number() -> None:
    with frail() as envs:
        envs.reset(seed=0)
        with pytest.raises(ValueError, match=r"sub-environment 2: .*no crash") as caught:
            envs.step(actions(e2="raise"))
        error = caught.value
        assert isinstance(error, RemoteEnvError)
        assert error.env_index == 2
        assert "in _act" in error.remote_traceback
        with pytest.raises(rlmesh.errors.StateError, match="call reset"):
            envs.step(actions())
        observations, _ = envs.reset()
        assert observations.tolist() == [0] * 4
        assert envs.step(actions())[0].tolist() == [1] * 4


def test_a_worker_that_dies_is_an_error_naming_its_sub_environments() -> None:
    with frail() as envs:
        _, infos = envs.reset()
        for how, says in DEADLY.items():
            with pytest.raises(EnvCrashedError, match="sub-environments 2 to 3 crashed") as caught:
                envs.step(actions(e3=how))
            assert caught.value.env_indices == (2, 3)
            assert says in str(caught.value)
            _, again = envs.reset()
            assert again["pid"][:2].tolist() == infos["pid"][:2].tolist()
            assert again["pid"][2] not in infos["pid"].tolist()
            assert envs.step(actions())[0].tolist() == [1] * 4
            infos = again


@pytest.mark.parametrize("mode", gymnasium.vector.AutoresetMode)
def test_a_worker_is_replaced_and_no_other_episode_is_touched(
    mode: gymnasium.vector.AutoresetMode,
) -> None:
    with frail(on_crash="replace", autoreset_mode=mode) as envs:
        envs.reset()
        envs.step(actions())
        observations, rewards, terminations, truncations, infos = envs.step(actions(e0="exit"))
        assert observations.tolist() == [0, 0, 2, 2]
        assert rewards.tolist() == [0, 0, 1, 1]
        assert not terminations.any()
        assert truncations.tolist() == [True, True, False, False]
        assert infos["_rlmesh.env.replaced"].tolist() == [True, True, False, False]
        assert "code 3" in infos["rlmesh.env.replaced"][1]
        assert infos["rlmesh.env.replaced"][2] is None
        if mode is gymnasium.vector.AutoresetMode.SAME_STEP:
            assert infos["final_obs"][:2].tolist() == [0, 0]
        if mode is gymnasium.vector.AutoresetMode.DISABLED:
            envs.reset(options={"reset_mask": truncations})
        observations, *_, infos = envs.step(actions())
        assert observations[2:].tolist() == [3, 3]
        assert "rlmesh.env.replaced" not in infos


def test_every_sub_environment_of_a_replaced_worker_says_so_when_it_is_received() -> None:
    with frail(on_crash="replace", batch_size=1) as envs:
        envs.reset()
        envs.send(np.array([way("exit")]), [0])
        *_, truncations, infos = envs.recv(timeout=60)
        assert infos["env_id"].tolist() == [0]
        assert truncations.tolist() == [True]
        assert "rlmesh.env.replaced" in infos
        # Its neighbour was in no step.
        for expected in ([True], [False]):
            envs.send(np.array([way("count")]), [1])
            *_, truncations, infos = envs.recv(timeout=60)
            assert truncations.tolist() == expected
            assert ("rlmesh.env.replaced" in infos) is expected[0]


def test_a_worker_that_was_killed_between_two_calls_is_noticed() -> None:
    with frail() as envs:
        _, infos = envs.reset()
        os.kill(int(infos["pid"][0]), signal.SIGKILL)
        with pytest.raises(EnvCrashedError, match="sub-environments 0 to 1"):
            envs.step(actions())
        with frail() as others:
            _, infos = others.reset()
            handle = os.pidfd_open(int(infos["pid"][3]))
            os.kill(int(infos["pid"][3]), signal.SIGKILL)
            select.select([handle], [], [])
            os.close(handle)
            others.reset()


def test_a_sub_environment_in_native_code_is_reported_and_ended_by_a_reset() -> None:
    with frail() as envs:
        envs.reset()
        envs.step_async(actions(e1="native"))
        with pytest.raises(TimeoutError, match=r"sub-environment 1 is at\n.*native code"):
            envs.step_wait(timeout=0.5)
        envs.reset()
        assert envs.step(actions())[0].tolist() == [1] * 4


@pytest.mark.parametrize("how", ["sleep", "native"])
def test_closing_ends_a_worker_that_hangs(how: str) -> None:
    envs = frail()
    _, infos = envs.reset()
    envs.step_async(actions(e1=how))
    envs.close(timeout=0.5)
    assert not set(infos["pid"].tolist()) & set(child_processes())


def test_closing_closes_every_sub_environment(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    with rlmesh.make_vec(partial(FrailEnv, str(diary)), num_envs=3, workers=2) as envs:
        envs.reset()
    assert diary.read_text().split() == ["made"] * 3 + ["closed"] * 3
    envs.close()


def test_what_a_worker_has_started_ends_with_it() -> None:
    with rlmesh.make_vec(partial(FrailEnv, child=True), num_envs=2, workers=2) as envs:
        _, infos = envs.reset()
        handles = [os.pidfd_open(int(pid)) for pid in infos["child"]]
    for handle in handles:
        assert select.select([handle], [], [], 20)[0]
        os.close(handle)


WITH_SUPPORT = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
PROGRAM = """
import os, sys, rlmesh
from support.frail_env import FrailEnv, way
envs = rlmesh.make_vec(FrailEnv, num_envs=2, workers=2)
_, infos = envs.reset()
print(*infos["pid"].tolist(), flush=True)
envs.step([int(way(sys.argv[1]))] * 2)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGKILL, "count"),
        (signal.SIGKILL, "sleep"),
        (signal.SIGKILL, "native"),
        (signal.SIGTERM, "native"),
    ],
)
def test_workers_end_with_the_program_whatever_kills_it(number: signal.Signals, how: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=WITH_SUPPORT,
    ) as program:
        assert program.stdout is not None
        handles = [os.pidfd_open(int(pid)) for pid in program.stdout.readline().split()]
        assert len(handles) == 2
        program.send_signal(number)
        for handle in handles:
            assert select.select([handle], [], [], 20)[0], "a worker outlived its program"
            os.close(handle)


def test_a_program_that_ends_without_closing_closes_its_sub_environments(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    program = (
        "import rlmesh, functools, sys; from support.frail_env import FrailEnv\n"
        "envs = rlmesh.make_vec(functools.partial(FrailEnv, sys.argv[1]), num_envs=2, workers=2)\n"
        "envs.reset()"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(diary)], check=True, timeout=60, env=WITH_SUPPORT
    )
    assert diary.read_text().split() == ["made"] * 2 + ["closed"] * 2


def test_an_object_that_is_dropped_ends_its_workers() -> None:
    envs = frail()
    _, infos = envs.reset()
    handles = [os.pidfd_open(int(pid)) for pid in infos["pid"]]
    del envs
    for handle in handles:
        assert select.select([handle], [], [], 20)[0]
        os.close(handle)


def test_ctrl_c_in_a_step_leaves_it_usable_after_a_reset() -> None:
    with frail() as envs:
        envs.reset()
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(1.0, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            envs.step(actions(e1="sleep"))
        timer.join()
        with pytest.raises(gymnasium.error.AlreadyPendingCallError):
            envs.step(actions())
        envs.reset()
        assert envs.step(actions())[0].tolist() == [1] * 4


def test_a_fork_of_the_program_leaves_the_workers_to_it() -> None:
    program = (
        "import os, rlmesh\n"
        "envs = rlmesh.make_vec('CartPole-v1', num_envs=2, workers=2)\n"
        "envs.reset(seed=0)\n"
        "if not (child := os.fork()):\n"
        "    try:\n"
        "        envs.step([0, 0])\n"
        "    except rlmesh.errors.StateError as error:\n"
        "        assert 'fork' in str(error), error\n"
        "        envs.close()\n"
        "        os._exit(7)\n"
        "    os._exit(1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
        "envs.step([0, 0])\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_an_environment_that_forks_answers_once() -> None:
    with rlmesh.make_vec(Forking, num_envs=2, workers=1) as envs:
        envs.reset()
        for _ in range(3):
            assert envs.step([1, 2])[0].tolist() == [1, 2]


@pytest.mark.parametrize("observation", [np.zeros(3), 0.5, "text", None])
def test_an_observation_of_another_form_is_an_error_naming_the_sub_environment(
    observation: Any,
) -> None:
    with rlmesh.make_vec([FrailEnv, partial(Wrong, observation)], workers=1) as envs:
        envs.reset()
        with pytest.raises(rlmesh.errors.InvalidObservationError, match="sub-environment 1"):
            envs.step([0, 0])


def test_an_action_of_another_form_is_refused_before_any_environment_is_called() -> None:
    with frail() as envs:
        envs.reset()
        for action in ([0, 0, 0], [0.5] * 4, "text", None, np.zeros((4, 1), np.int64)):
            with pytest.raises(rlmesh.errors.InvalidActionError):
                envs.step(action)
        assert envs.step(actions())[0].tolist() == [1] * 4


def _unpicklable() -> Callable[[], Any]:
    lock = threading.Lock()
    return lambda: lock


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        (("CartPole-v1", 2, {"workers": 3}), ValueError, "more than there are.*raise num_envs="),
        (("CartPole-v1", 0, {}), ValueError, "num_envs must be 1 or more"),
        (("CartPole-v1", 2, {"workers": 0}), ValueError, "workers must be 1 or more"),
        (("CartPole-v1", 2, {"workers": 1.5}), TypeError, "workers must be an int"),
        (("CartPole-v1", 2, {"batch_size": 3}), ValueError, r"recv\(\) would never return"),
        (("CartPole-v1", 2, {"autoreset_mode": "soon"}), ValueError, "autoreset_mode"),
        (("CartPole-v1", 2, {"on_crash": "ignore"}), ValueError, "on_crash"),
        (("NoSuchEnv-v9", 2, {}), gymnasium.error.Error, "NoSuchEnv"),
        ((FrailEnv(), 2, {}), TypeError, "must be a callable"),
        (([FrailEnv, FrailEnv], 3, {}), ValueError, "does not fit a list of 2"),
        (([], None, {}), ValueError, "empty list"),
        ((FrailEnv, 2, {"render_mode": "ansi"}), TypeError, "render_mode"),
        (
            (FrailEnv, 2, {"wrappers": [3]}),
            TypeError,
            "wrappers must.*int; pass gymnasium.wrappers",
        ),
        ((_unpicklable(), 2, {}), TypeError, "cannot be pickled"),
        ((fail_to_make, 2, {}), LookupError, "no scene"),
        ((partial(int, 3), 2, {}), InvalidEnvError, "sub-environment 0"),
        ((partial(os._exit, 5), 2, {"workers": 2}), EnvCrashedError, "code 5"),
        (([FrailEnv, Other], None, {"workers": 1}), InvalidEnvError, "0 and 1.*equal spaces"),
        (([FrailEnv, Other], None, {"workers": 2}), InvalidEnvError, "0 and 1.*equal spaces"),
    ],
)
def test_what_cannot_work_is_refused_at_once_and_leaves_nothing_running(
    arguments: tuple[Any, Any, dict[str, Any]], kind: type[Exception], says: str
) -> None:
    before = set(child_processes())
    env, num_envs, options = arguments
    with pytest.raises(kind, match=says):
        rlmesh.make_vec(env, num_envs, **options)
    assert set(child_processes()) <= before
