"""PufferLib's emulation makes of remote environments what it makes of local ones."""

from __future__ import annotations

import importlib.util
import runpy
from typing import Any

import numpy as np
import pytest

import rlmesh
from support.comparing import assert_same
from support.repository import ROOT
from support.serving import remote, serving
from support.trainer_snippets import run_snippets

# Its source, which the registry has alone, builds on Python 3.11 and older.
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("pufferlib") is None, reason="not installed"),
    pytest.mark.filterwarnings("ignore"),  # it warns of its own code
]

STEPS = 2000


def test_emulated_observations_are_those_of_the_environment_in_this_process() -> None:
    names = runpy.run_path(str(ROOT / "examples/trainers/pufferlib_emulation.py"))
    expected = names["rollout"](names["make"](), STEPS)
    assert len(expected) > STEPS + 50  # episodes ended
    assert (expected[0][0].dtype, expected[0][0].shape) == (np.uint8, (20,))
    with remote(names["make"]()) as client:
        assert_same(names["rollout"](client, STEPS), expected)


def test_emulated_agents_are_those_of_the_environment_in_this_process() -> None:
    import pettingzoo  # pyright: ignore[reportMissingTypeStubs] # it has none
    from pufferlib.emulation import PettingZooPufferEnv

    def rollout(env: Any) -> list[Any]:
        emulated: Any = PettingZooPufferEnv(env=env)
        rng = np.random.default_rng(1)
        emulated.reset(seed=1)
        results: list[Any] = []
        for _ in range(50):
            if emulated.done:
                emulated.reset()
            observations, *others, _ = emulated.step(rng.integers(0, 3, 2))
            # A local reward may be an integer, a remote one is a float.
            results += [
                {agent: np.array(each) * 1.0 for agent, each in values.items()}
                for values in (observations, *others)
            ]
        return results

    made: Any = pettingzoo.make
    expected = rollout(made("parallel", "classic/rps_v2"))
    with serving(made("parallel", "classic/rps_v2")) as server:
        client: Any = rlmesh.RemoteParallelEnv(server.address)
        assert_same(rollout(client), expected)
        client.close()


def test_the_snippet_of_the_page_runs() -> None:
    assert run_snippets("trainers_all/test_pufferlib") == 1
