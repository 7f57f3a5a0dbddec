"""The segment that all workers of a vector environment write into, and how it is divided."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from itertools import accumulate

from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh_api.contract import Space

__all__ = ["FAILED", "INFO_BYTES", "LENGTH", "OVERFLOW", "SegmentPlan"]

INFO_BYTES = 1 << 14
"""The bytes of one sub-environment's area for infos. A larger report crosses the socket."""

LENGTH = struct.Struct("<Q")
"""The form of a report's length."""

OVERFLOW = (1 << 64) - 1
"""Stands in place of the length of a report that crosses the socket."""

FAILED = OVERFLOW - 1
"""Stands there where there is no report, as the sub-environment has failed."""

_LINE = 64
_PAGE = mmap.ALLOCATIONGRANULARITY
# Each worker's lines: what the worker writes, and what the process that steps writes.
_LINES = 2 * _LINE


@dataclass(frozen=True, slots=True, eq=False)
class SegmentPlan:
    """Where everything stands in the segment.

    A sub-environment has two counters of one byte. The process that steps raises the one of its
    requests after it has written the action; the worker copies it to the one of its results after
    it has written these. So a sub-environment is busy as long as they differ. The counters of one
    worker stand in cache lines of their own, so each worker's begin at a multiple of `stride`.

    Attributes:
        runs: The first sub-environment of each worker, and the one after its last.
        stride: The bytes of the counters of one worker.
        requested: Where the counters of the requests begin.
        done: Where the counters of the results begin.
        rewards: Where the rewards begin, float64.
        terminations: Where the terminations begin, a byte each.
        truncations: Where the truncations begin, a byte each.
        lengths: Where the lengths of the reports begin, uint64.
        reports: Where the areas of the reports begin.
        action: Where the actions' slab begins, without its texts.
        observation: Where the observations' slab begins, without its texts.
        size: The bytes of the segment.
        actions: The layout of the actions of all sub-environments.
        observations: The layout of their observations.
    """

    runs: tuple[tuple[int, int], ...]
    stride: int
    requested: int
    done: int
    rewards: int
    terminations: int
    truncations: int
    lengths: int
    reports: int
    action: int
    observation: int
    size: int
    actions: Layout
    observations: Layout

    @staticmethod
    def runs_of(num_envs: int, workers: int) -> tuple[tuple[int, int], ...]:
        """The contiguous runs of sub-environments that workers have.

        Args:
            num_envs: The number of sub-environments.
            workers: The number of workers, at most as many.
        """
        each, more = divmod(num_envs, workers)
        ends = list(accumulate(each + (index < more) for index in range(workers)))
        return tuple(zip([0, *ends[:-1]], ends, strict=True))

    @classmethod
    def of(
        cls, runs: tuple[tuple[int, int], ...], observation: Space, action: Space
    ) -> SegmentPlan:
        """Divides a segment.

        Args:
            runs: The workers' runs of sub-environments.
            observation: The observation space of one sub-environment.
            action: The action space of one sub-environment.
        """
        num_envs, workers = runs[-1][1], len(runs)
        actions, observations = (
            compile_layout(action, num_envs),
            compile_layout(observation, num_envs),
        )
        stride = _aligned(runs[0][1], _LINE)
        sizes = {
            "requested": workers * stride,
            "done": workers * stride,
            "rewards": 8 * num_envs,
            "terminations": num_envs,
            "truncations": num_envs,
            "lengths": LENGTH.size * num_envs,
            "reports": num_envs * INFO_BYTES,
            "action": actions.size,
            "observation": observations.size,
        }
        end = workers * _LINES
        offsets: dict[str, int] = {}
        for name, nbytes in sizes.items():
            offsets[name], end = end, _aligned(end + nbytes, _LINE)
        return cls(
            runs=runs,
            stride=stride,
            size=_aligned(end, _PAGE),
            actions=actions,
            observations=observations,
            **offsets,
        )

    def counter(self, env_index: int) -> int:
        """Where a sub-environment's counter stands, from the beginning of the counters on."""
        for worker, (start, stop) in enumerate(self.runs):
            if start <= env_index < stop:
                return worker * self.stride + env_index - start
        raise IndexError(env_index)

    def line(self, worker: int) -> int:
        """Where the line that a worker writes begins: whether it sleeps, and where it is."""
        return worker * _LINES

    def far_line(self, worker: int) -> int:
        """Where the line that is written for a worker begins: whether to ring, and commands."""
        return worker * _LINES + _LINE


def _aligned(size: int, unit: int) -> int:
    return -(-size // unit) * unit
