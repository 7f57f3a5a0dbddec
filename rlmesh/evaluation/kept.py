"""Records what happens in the environments of an evaluation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium

from rlmesh.contract import read_contract
from rlmesh.envs.duck_env import DuckEnv
from rlmesh.recording.container import mcap
from rlmesh.recording.parts import check_folder
from rlmesh.recording.recorder import Recorder


def check_recording(folder: str | os.PathLike[str]) -> Path:
    """The folder for recordings, made where there is none.

    Raises:
        InvalidArgumentError: If it is a file, or cannot be made.
        ArgumentTypeError: If it is no path.
        StateError: If the package `mcap` is not installed.
    """
    mcap("writer")
    return check_folder(folder, None)


def recorded(env: Any, folder: Path) -> Recorder:
    """An environment that is recorded. Closing the recorder closes it.

    Raises:
        UnsupportedSpaceError: If one of its spaces cannot be carried.
        InvalidEnvError: If it is no environment.
        OSError: If the file cannot be made.
    """
    own = isinstance(env, gymnasium.Env | gymnasium.vector.VectorEnv)
    # Which of its kinds it makes is not known before.
    make: Any = Recorder
    made: Recorder = make(env if own else DuckEnv(env, read_contract(env)), folder)
    return made
