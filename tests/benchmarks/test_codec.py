"""The encoding that the benchmark lends to those who bring none of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.contenders.codec import FramesPacker, pack, unpack, unpack_frames
from benchmarks.workloads import WORKLOADS
from support.comparing import assert_same


def result(workload: str) -> list[Any]:
    env = WORKLOADS[workload].make()
    env.reset(seed=0)
    taken = list(env.step(WORKLOADS[workload].actions()[0]))
    env.close()
    return taken


@pytest.mark.parametrize("workload", ["cartpole", "dict", "vector-8", "infos"])
def test_a_step_arrives_in_a_message(workload: str) -> None:
    assert_same(unpack(pack(result(workload))), result(workload))


@pytest.mark.parametrize("workload", ["cartpole", "dict", "image-480", "infos"])
def test_a_step_arrives_in_frames(workload: str) -> None:
    message, *arrays = FramesPacker().pack(result(workload))
    assert_same(unpack_frames([message, *(array.data for array in arrays)]), result(workload))


def test_a_scalar_of_numpy_is_a_number() -> None:
    assert unpack(pack(np.float32(0.5))) == 0.5
