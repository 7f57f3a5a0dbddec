"""Whenever an evaluation is killed: the same episodes in the end, none lost and none run twice.

`RLMESH_CHAOS_SEEDS=200` kills it twenty times, at points that differ from run to run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import rlmesh
from rlmesh.evaluation import Episode
from rlmesh.evaluation.evaluating import evaluate
from support.evaluated import Countdown, Slow, decide
from support.repository import ROOT

_MANY = bool(int(os.environ.get("RLMESH_CHAOS_SEEDS", "0")))
_SEED = time.time_ns() // 10**9 if _MANY else 0
_KILLS = 20 if _MANY else 2
_EPISODES = 20 * _KILLS
_COMMAND = "from support.evaluated import main; main()"


def test_kills_at_random_points_lose_no_episode_that_has_ended(tmp_path: Path) -> None:
    random = Random(_SEED)  # noqa: S311 - where to kill is no secret
    path = tmp_path / "episodes"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    told: list[str] = []
    again: list[Episode] = []
    with rlmesh.EnvServer(Slow, sessions=16) as server:
        command = [sys.executable, "-c", _COMMAND, server.address, str(path), f"{_EPISODES}", "4"]
        for _ in range(_KILLS):
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
            ) as process:
                assert process.stdout
                told.append(process.stdout.readline())
                time.sleep(random.uniform(0, 0.3))
                process.kill()
                told += process.stdout.readlines()
        found = evaluate(
            decide,
            server.address,
            episodes=_EPISODES,
            workers=16,
            resume=path,
            on_episode=again.append,
        )
    assert found.episodes == evaluate(decide, Countdown, episodes=_EPISODES).episodes
    seen = Counter(int(line) for line in told if line.endswith("\n"))
    assert len(seen) >= _KILLS
    assert set(seen.values()) == {1}
    assert not seen.keys() & {each.seed for each in again}
