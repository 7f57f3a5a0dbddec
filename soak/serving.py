"""The other process: an endpoint of one environment, and one of several; or one with a page."""

from __future__ import annotations

import os
import threading
from typing import Any

import gymnasium
from gymnasium.vector import SyncVectorEnv

import rlmesh
from benchmarks.environments import Camera
from benchmarks.peer import Announce

ID, TRANSPORTS = "CartPole-v1", 4

# The steps of an episode of the environment that is watched.
_WATCHED_STEPS = 500


def single() -> gymnasium.Env[object, object]:
    """The single environment."""
    return gymnasium.make(ID)


def vector() -> SyncVectorEnv[object, object]:
    """The vector environment."""
    return SyncVectorEnv([single] * TRANSPORTS)


def serve(announce: Announce) -> None:
    """Serves both until the process is ended; prints its id and the two addresses."""
    direct = "tcp://127.0.0.1:0"
    # So long may a session keep the next one waiting whose client left just after a cut.
    options = rlmesh.ServeOptions(resume_timeout_seconds=1.0)
    with (
        rlmesh.EnvServer(single(), direct=direct, options=options) as one,
        rlmesh.EnvServer(vector(), direct=direct, options=options) as several,
    ):
        announce(f"{os.getpid()} {one.address} {several.address}")
        threading.Event().wait()


def serve_watched(announce: Announce) -> None:
    """Serves camera images and their page until ended; prints its id, the address and the URL."""
    env: Any = gymnasium.wrappers.TimeLimit(Camera(480, 640), _WATCHED_STEPS)
    with rlmesh.EnvServer(env, view="127.0.0.1:0") as server:
        announce(f"{os.getpid()} {server.address} {server.view_url}")
        threading.Event().wait()
