"""What the docs' table says to users of Gymnasium's `AsyncVectorEnv`."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import InvalidArgumentError
from support.parallel_envs import Odd
from support.vector_envs import SubEnv


def script(tmp_path: Path, text: str) -> str:
    """Runs a script, and returns what it printed."""
    path = tmp_path / "script.py"
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, str(path)], check=True, timeout=100, capture_output=True, text=True
    )
    return done.stdout


def test_workers_are_no_forks(tmp_path: Path) -> None:
    printed = script(
        tmp_path,
        "import gymnasium, rlmesh\n"
        "setting = 1\n"
        "class Env(gymnasium.Wrapper):\n"
        "    def found(self):\n"
        "        import __main__\n"
        "        return hasattr(__main__, 'setting')\n"
        "envs = rlmesh.make_vec(lambda: Env(gymnasium.make('CartPole-v1')), num_envs=1)\n"
        "print(envs.call('found'))\n",
    )
    assert printed == "(False,)\n"


def test_workers_do_not_import_the_main_module(tmp_path: Path) -> None:
    # Without `if __name__ == "__main__":`, which spawned workers of Gymnasium's would need.
    printed = script(
        tmp_path,
        "import rlmesh\n"
        "print('once')\n"
        "envs = rlmesh.make_vec('CartPole-v1', num_envs=2, workers=2)\n"
        "print(envs.reset(seed=0)[0].shape)\n",
    )
    assert printed == "once\n(2, 4)\n"


def test_callables_cross_by_cloudpickle() -> None:
    levels = iter(range(2))
    factories = [lambda level=level: _at(level) for level in levels]
    with rlmesh.make_vec(factories, workers=1) as envs:
        assert envs.get_attr("level") == (0, 1)


def _at(level: int) -> SubEnv:
    env = SubEnv("box")
    env.level = level
    return env


_at.__module__ = "__main__"  # pickled by value, as what a script defines is


def test_there_is_a_worker_for_each_processor() -> None:
    processors = len(os.sched_getaffinity(0))
    with rlmesh.make_vec("CartPole-v1", num_envs=processors + 1) as envs:
        assert f"workers={processors})" in repr(envs)
    with rlmesh.make_vec("CartPole-v1", num_envs=1) as envs:
        assert "workers=1)" in repr(envs)


def test_an_object_becomes_its_text_or_an_error() -> None:
    with rlmesh.make_vec(Odd, num_envs=2, workers=1) as envs:
        envs.reset()
        infos = envs.step([0, 0])[-1]
        assert "object at" in infos["thing"][0]
        assert infos["rlmesh.info.degraded"][1][0]["path"] == "$.thing"
        assert infos["_rlmesh.info.degraded"].tolist() == [True, True]
        with pytest.raises(InvalidArgumentError, match=r"sub-environment 0: thing: .*cannot cross"):
            envs.get_attr("thing")


def test_the_generator_is_that_of_the_vector_environment() -> None:
    with rlmesh.make_vec(partial(SubEnv, "box"), num_envs=2, workers=1) as envs:
        envs.reset(seed=3)
        assert isinstance(envs.np_random, np.random.Generator)
        assert envs.np_random_seed == 3


def test_what_is_not_there() -> None:
    missing: Any = rlmesh.ParallelVectorEnv
    assert not hasattr(missing, "reset_async")
    assert not hasattr(missing, "call_async")
