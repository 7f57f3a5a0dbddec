"""Parallel sub-environments behind an address."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import rlmesh
from rlmesh.errors import EnvCrashedError, InvalidArgumentError
from support.comparing import assert_same
from support.frail_env import FrailEnv, way
from support.process import child_processes
from support.vector_envs import SubEnv, record, sync_sub_envs, told
from support.watching import status_of


@pytest.mark.usefixtures("each_transport")
def test_a_client_sees_what_sync_vector_env_shows() -> None:
    with rlmesh.EnvServer(partial(SubEnv, "dict"), num_envs=3, workers=2) as server:
        assert server.env_contract.num_envs == 3
        for mode in AutoresetMode:
            expected = record(sync_sub_envs("dict", mode=mode), 20)
            with rlmesh.RemoteVectorEnv(server.address, autoreset=mode) as envs:
                assert_same(list(told(envs, 20)), expected, mode.value)


def test_a_list_of_callables_is_served_by_as_many_sub_environments() -> None:
    with (
        rlmesh.EnvServer([partial(SubEnv, "box")] * 3, workers=2, expose=("level",)) as server,
        rlmesh.RemoteVectorEnv(server.address) as envs,
    ):
        envs.reset(seed=0)
        envs.set_attr("level", [4, 5, 6])
        assert envs.get_attr("level") == (4, 5, 6)
        assert envs.render() == tuple(f"level {level}, step 0" for level in (4, 5, 6))


def test_the_workers_serve_one_session_after_the_other_and_end_with_the_server() -> None:
    with rlmesh.EnvServer(FrailEnv, num_envs=2, workers=2) as server:
        pids = []
        for _ in range(2):
            with rlmesh.RemoteVectorEnv(server.address) as envs:
                pids.append(envs.reset()[1]["pid"].tolist())
        assert pids[0] == pids[1]
        assert set(pids[0]) <= set(child_processes())
    assert not set(pids[0]) & set(child_processes())


def test_each_of_several_sessions_has_its_own_workers() -> None:
    with rlmesh.EnvServer(FrailEnv, num_envs=2, workers=1, sessions=2) as server:
        with (
            rlmesh.RemoteVectorEnv(server.address, connect_timeout_seconds=60) as one,
            rlmesh.RemoteVectorEnv(server.address, connect_timeout_seconds=60) as other,
        ):
            pids = [envs.reset()[1]["pid"][0] for envs in (one, other)]
            assert pids[0] != pids[1]


def test_a_failing_sub_environment_is_named_to_the_client() -> None:
    with (
        rlmesh.EnvServer(FrailEnv, num_envs=2, workers=2) as server,
        rlmesh.RemoteVectorEnv(server.address) as envs,
    ):
        envs.reset()
        with pytest.raises(ValueError, match=r"^sub-environment 1: the environment's step\(\)"):
            envs.step(np.array([way("count"), way("raise")]))
        envs.reset()
        with pytest.raises(EnvCrashedError, match=r"^sub-environment 0 crashed in step"):
            envs.step(np.array([way("exit"), way("count")]))
        envs.reset()
        assert envs.step(np.array([way("count")] * 2))[0].tolist() == [1, 1]


def test_a_dead_worker_is_replaced_where_the_server_says_so() -> None:
    with (
        rlmesh.EnvServer(FrailEnv, num_envs=2, workers=2, on_crash="replace") as server,
        rlmesh.RemoteVectorEnv(server.address) as envs,
    ):
        envs.reset()
        observations, _, _, truncations, infos = envs.step(np.array([way("exit"), way("count")]))
        assert observations.tolist() == [0, 1]
        assert truncations.tolist() == [True, False]
        assert infos["_rlmesh.env.replaced"].tolist() == [True, False]


def test_the_status_shows_where_a_sub_environment_hangs() -> None:
    options = rlmesh.ServeOptions(call_timeout_seconds=3, drain_timeout_seconds=10)
    with (
        rlmesh.EnvServer(FrailEnv, num_envs=3, workers=3, options=options) as server,
        rlmesh.RemoteVectorEnv(server.address) as envs,
    ):
        envs.reset()
        envs.step_async(np.array([way("count"), way("sleep"), way("count")]))
        stack = ""
        while "frail_env.py" not in stack:
            (session,) = status_of(server.address).sessions
            stack = session.stack
        assert "sub-environment 1 is at" in stack
        assert "sub-environment 0" not in stack
        # Its worker is ended at the limit for calls, and the others go on with the next reset.
        with pytest.raises(
            EnvCrashedError,
            match=r"(?s)^sub-environment 1 crashed in step.*not return within 3 s.*frail_env\.py",
        ):
            envs.step_wait()
        envs.reset()
        assert envs.step(np.array([way("count")] * 3))[0].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("env", "options", "kind", "says"),
    [
        (FrailEnv, {"num_envs": 2, "workers": 3}, InvalidArgumentError, "more than there are"),
        (FrailEnv, {"num_envs": 2, "isolation": "process"}, InvalidArgumentError, "isolation"),
        (FrailEnv, {"on_crash": "replace"}, InvalidArgumentError, "num_envs= or workers="),
        (FrailEnv(), {"num_envs": 2}, TypeError, "callable"),
        (partial(os._exit, 5), {"num_envs": 2}, EnvCrashedError, "code 5"),
        (
            partial(gymnasium.make_vec, "CartPole-v1", 2),
            {"num_envs": 2},
            TypeError,
            "must be a single environment",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_at_construction(
    env: Any, options: dict[str, Any], kind: type[Exception], says: str
) -> None:
    before = set(child_processes())
    with pytest.raises(kind, match=says):
        rlmesh.EnvServer(env, **options)
    assert set(child_processes()) <= before


def test_a_server_that_cannot_bind_leaves_no_worker(tmp_path: Any) -> None:
    before = set(child_processes())
    path = str(tmp_path / "socket")
    with rlmesh.EnvServer(gymnasium.make("CartPole-v1"), path=path):
        with pytest.raises(rlmesh.errors.AddressInUseError):
            rlmesh.EnvServer(FrailEnv, path=path, num_envs=2, workers=1)
    assert set(child_processes()) <= before
