"""Recordings that every later version reads, and what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import rlmesh
from rlmesh.codec.infos.packing import unpack, unpack_info
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.recording.reading import RecordedReset, RecordedStep, open_recordings
from support.golden import FOLDER, plain
from support.recorded import Manifold, record

RECORDINGS = FOLDER / "recordings"


def write(path: Path) -> None:
    """Writes a recording of each kind into a folder."""
    record(Manifold(), path / "single.mcap", (3, None))
    vector = rlmesh.Recorder(
        gymnasium.vector.SyncVectorEnv([Manifold, Manifold]), path / "vector.mcap"
    )
    vector.reset(seed=5, options={"task": "lift"})
    for number in range(7):
        vector.step(np.full((2, 2), number / 8, np.float32))
    vector.close()
    digest = rlmesh.Recorder(Manifold(), path / "digest.mcap", observations="digest")
    digest.reset(seed=1 << 70)
    digest.step(np.zeros(2, np.float32))
    digest.close()


def contents(path: Path) -> dict[str, Any]:
    """What a recording holds, as JSON data from which every bit can be told."""
    [files] = open_recordings(path)
    observation, action = (
        compile_layout(space, files.num_envs)
        for space in (files.contract.observation_space, files.contract.action_space)
    )

    def observed(data: bytes) -> Any:
        return data.hex() if files.digest else plain(observation.decode(data))

    calls: list[Any] = []
    for call in files.calls():
        if isinstance(call, RecordedReset) and call.result is not None:
            given = [unpack(part) for part in (call.call.seed, call.call.options) if part]
            result = call.result
            calls.append(
                ["reset", repr(given), observed(result.observation), repr(unpack_info(result.info))]
            )
        elif isinstance(call, RecordedStep) and call.result is not None:
            step = call.result
            calls.append(
                [
                    "step",
                    plain(action.decode(call.action)),
                    observed(step.observation),
                    [reward.hex() for reward in step.rewards],
                    [*step.terminations],
                    [*step.truncations],
                    repr(unpack_info(step.info)),
                ]
            )
    return {"contract": files.contract.to_dict(), "digest": files.digest, "calls": calls}
