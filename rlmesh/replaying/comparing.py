"""Compares what a call returned with what was recorded of it, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.codec.slab.structure import compile_flatten
from rlmesh.recording.reading import RecordingFiles
from rlmesh.replaying.distance import differing, ulps
from rlmesh.replaying.info_comparison import InfoComparison
from rlmesh.replaying.results import Part
from rlmesh.spaces.paths import ROOT
from rlmesh_api.contract import TextSpace
from rlmesh_api.v1 import session_pb2

_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Found:
    """One difference, without the episode and the step; attributes as of `Difference`."""

    part: Part
    path: str
    index: tuple[int, ...]
    recorded: str
    replayed: str
    ulps: int | None = None


class Comparison:
    """Compares the results of one environment's calls.

    Args:
        files: The recording.
        tolerance: How far two floats may lie apart; None: each bit counts.
        ignore: The places in infos that are not compared.

    Attributes:
        infos: Compares the infos.
    """

    def __init__(
        self, files: RecordingFiles, tolerance: float | None, ignore: Collection[str]
    ) -> None:
        self._num_envs = files.num_envs
        self._digest = files.digest
        self._tolerance = tolerance
        self._layout: Layout = compile_layout(files.contract.observation_space, files.num_envs)
        self._flatten: Callable[[Any], Any] = compile_flatten(files.contract.observation_space)
        self.infos: InfoComparison = InfoComparison(tolerance, ignore)

    def resets(
        self, recorded: session_pb2.ResetResult, replayed: session_pb2.ResetResult
    ) -> dict[int, Found]:
        """The first difference of each sub-environment, by its index; 0 for a single one."""
        found: dict[int, Found] = {}
        self._observations(recorded.observation, replayed.observation, found)
        self._infos(recorded.info, replayed.info, found)
        return found

    def steps(
        self, recorded: session_pb2.StepResult, replayed: session_pb2.StepResult
    ) -> dict[int, Found]:
        """As `resets`, of steps."""
        found: dict[int, Found] = {}
        # As bytes: messages are equal with 0.0 and -0.0 in the same place.
        if recorded.SerializeToString() == replayed.SerializeToString():
            return found
        self._observations(recorded.observation, replayed.observation, found)
        for index, (a, b) in enumerate(zip(recorded.rewards, replayed.rewards, strict=True)):
            if differing(np.array(a), np.array(b), self._tolerance).any():
                found.setdefault(index, Found("reward", ROOT, (), repr(a), repr(b), ulps(a, b)))
        flags: list[tuple[Part, Any, Any]] = [
            ("terminated", recorded.terminations, replayed.terminations),
            ("truncated", recorded.truncations, replayed.truncations),
        ]
        for part, before, now in flags:
            for index, (one, other) in enumerate(zip(before, now, strict=True)):
                if one != other:
                    found.setdefault(index, Found(part, ROOT, (), repr(one), repr(other)))
        self._infos(recorded.info, replayed.info, found)
        return found

    def _observations(self, a: bytes, b: bytes, found: dict[int, Found]) -> None:
        if a == b:
            return
        if self._digest:
            kept = "one with the digest"
            found.setdefault(
                0, Found("observation", ROOT, (), f"{kept} {a.hex()}", f"{kept} {b.hex()}")
            )
            return
        if any(isinstance(leaf.space, TextSpace) for leaf in self._layout.leaves):
            values = [self._flatten(self._layout.decode(slab)) for slab in (a, b)]
        else:
            values = [(), ()]
        for number, leaf in enumerate(self._layout.leaves):
            if isinstance(leaf.space, TextSpace):
                self._texts(leaf.path, values[0][number], values[1][number], found)
                continue
            one, other = (
                np.frombuffer(slab, leaf.dtype, leaf.count, leaf.offset).reshape(leaf.shape)
                for slab in (a, b)
            )
            unequal = differing(one, other, self._tolerance)
            for place in np.argwhere(unequal):
                index = tuple(int(each) for each in place)
                env_index, within = self._apart(index)
                if env_index not in found:
                    x, y = one[index], other[index]
                    found[env_index] = Found(
                        "observation", leaf.path, within, str(x), str(y), ulps(x, y)
                    )
                if self._num_envs is None or len(found) == self._num_envs:
                    break

    def _texts(self, path: str, a: Any, b: Any, found: dict[int, Found]) -> None:
        pairs = [(a, b)] if self._num_envs is None else zip(a, b, strict=True)
        for index, (one, other) in enumerate(pairs):
            if one != other:
                found.setdefault(index, Found("observation", path, (), _cut(one), _cut(other)))

    def _infos(self, a: bytes, b: bytes, found: dict[int, Found]) -> None:
        for each in self.infos.compare(a, b):
            env_index, within = 0, each.index
            if self._num_envs is not None and each.index and each.index[0] < self._num_envs:
                env_index, within = self._apart(each.index)
            found.setdefault(
                env_index,
                Found("info", each.path, within, each.recorded, each.replayed, each.ulps),
            )

    def _apart(self, index: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """The sub-environment of an element, and its place there."""
        return (0, index) if self._num_envs is None else (index[0], index[1:])


def _cut(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
