"""How many Python functions a step calls is what docs/performance.md says."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rlmesh import compiled
from support.repository import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it counts over shared memory")

# Counts what RLMesh's own functions are called, but for those that wait for the other side.
PROGRAM = """
import collections, json, sys, threading
import gymnasium, numpy
import rlmesh

WAITS = ("transports/shm/doorbell.py", "transports/spin_policy.py")
counted = {"client": collections.Counter(), "server": collections.Counter()}
counting = False

def counts(side):
    def note(frame, event, _):
        code = frame.f_code
        ours = "/rlmesh/" in code.co_filename or code.co_name == "holds"
        waits = code.co_filename.endswith(WAITS) or (
            code.co_filename.endswith("transports/shm/segment_end.py")
            and code.co_name in ("look", "receive", "sleeps"))
        if counting and event == "call" and ours and not waits:
            counted[side][code] += 1
    return note

class Still(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (4,), numpy.float32)
    action_space = gymnasium.spaces.Discrete(2)
    state = numpy.zeros(4, numpy.float32)
    def reset(self, *, seed=None, options=None):
        return self.state, {}
    def step(self, action):
        return self.state, 1.0, False, False, {}

threading.setprofile(counts("server"))
server = rlmesh.EnvServer(Still())
server.start()
threading.setprofile(None)
with server, rlmesh.RemoteEnv(server.address, transport="shm") as env:
    env.reset()
    env.step(0)
    sys.setprofile(counts("client"))
    counting = True
    for _ in range(STEPS := 300):
        env.step(0)
    counting = False
    sys.setprofile(None)
calls = {side: sum(round(count / STEPS) for count in found.values())
         for side, found in counted.items()}
print(json.dumps(calls))
"""


@pytest.mark.parametrize(
    ("variable", "row"),
    [
        pytest.param(
            "1",
            "with the parts in C",
            marks=pytest.mark.skipif(compiled.step is None, reason="no compiled parts here"),
        ),
        ("0", "in Python alone"),
    ],
)
def test_a_step_calls_as_many_functions_as_the_page_says(variable: str, row: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "RLMESH_COMPILED": variable},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    called = json.loads(done.stdout)
    page = (ROOT / "docs/performance.md").read_text()
    assert f"| {row} | {called['client']} | {called['server']} |" in page
