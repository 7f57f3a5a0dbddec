"""Actions into the segment, and observations, rewards and flags out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.packing import pack
from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.structure import compile_assemble, compile_flatten
from rlmesh.codec.slab.violations import Violation
from rlmesh.errors import InvalidActionError
from rlmesh.parallel.pool import WorkerPool
from rlmesh_api.contract import TextSpace

__all__ = ["Actions", "Results"]


class Actions:
    """Writes actions into the segment.

    Args:
        pool: The workers.
    """

    def __init__(self, pool: WorkerPool) -> None:
        plan = pool.plan
        self._pool = pool
        self._memory = pool.memory
        self._place = plan.action
        self._layout = plan.actions
        self._encode_into = plan.actions.encode_into
        self._space = pool.contract.action_space
        self._flatten = compile_flatten(self._space)
        self._layouts: dict[int, Layout] = {}

    def write_all(self, actions: Any) -> None:
        """Writes the actions of all sub-environments.

        Raises:
            InvalidActionError: If the batched action space does not hold them.
        """
        if self._layout.has_text:
            self.write(actions, np.arange(len(self._pool.sent)))
            return
        try:
            self._encode_into(actions, self._memory, self._place)
        except Violation as error:
            raise _refused(error) from error

    def write(self, actions: Any, env_indices: npt.NDArray[np.intp]) -> None:
        """Writes the actions of some sub-environments.

        Args:
            actions: A member of the action space batched for as many.
            env_indices: Their numbers, in the order of the actions.

        Raises:
            InvalidActionError: If that space does not hold them.
        """
        count = len(env_indices)
        layout = self._layouts.get(count)
        if layout is None:
            layout = self._layouts[count] = compile_layout(self._space, count)
        try:
            slab = layout.encode(actions)
        except Violation as error:
            if error.env_index is not None:
                error.env_index = int(env_indices[error.env_index])
            raise _refused(error) from error
        for leaf, row in zip(layout.leaves, self._layout.leaves, strict=True):
            if not _is_text(leaf):
                part: npt.NDArray[Any] = np.ndarray(leaf.shape, leaf.dtype, slab, leaf.offset)
                _rows(row, self._memory, self._place)[env_indices] = part
        if layout.has_text:
            self._send_texts(self._flatten(layout.decode(slab)), env_indices)

    def _send_texts(self, items: Any, env_indices: npt.NDArray[np.intp]) -> None:
        texts = [items[place] for place, leaf in enumerate(self._layout.leaves) if _is_text(leaf)]
        for place, env_index in enumerate(env_indices.tolist()):
            self._pool.send_texts(env_index, pack([leaf[place] for leaf in texts]))


class Results:
    """Reads what the workers wrote into the segment.

    Args:
        pool: The workers.
        copy: Whether observations are copies; else they are read-only views.

    Attributes:
        texts: The texts of each sub-environment's last observation, in the order of its leaves.
    """

    def __init__(self, pool: WorkerPool, *, copy: bool) -> None:
        plan, memory = pool.plan, pool.memory
        num_envs = len(pool.sent)
        self._memory = memory
        self._copy = copy
        self._place = plan.observation
        self._layout = plan.observations
        self._size = plan.observations.size
        self._has_text = plan.observations.has_text
        self._decode = plan.observations.decode
        self._assemble = compile_assemble(pool.contract.observation_space)
        self._reads = [self._compile_rows(leaf) for leaf in plan.observations.leaves]
        text_leaves = sum(_is_text(leaf) for leaf in plan.observations.leaves)
        self.texts: list[list[str]] = [[""] * text_leaves for _ in range(num_envs)]
        self._everything = np.arange(num_envs)
        self._rewards: npt.NDArray[np.float64] = np.ndarray(
            num_envs, np.float64, memory, plan.rewards
        )
        self._flags: list[npt.NDArray[np.uint8]] = [
            np.ndarray(num_envs, np.uint8, memory, place)
            for place in (plan.terminations, plan.truncations)
        ]

    def observations(self) -> Any:
        """The observations of all sub-environments."""
        if self._has_text:
            return self.observations_of(self._everything, copy=self._copy)
        return self._decode(self._memory, self._place, self._size, self._copy)

    def observations_of(self, env_indices: npt.NDArray[np.intp], *, copy: bool = True) -> Any:
        """The observations of some sub-environments.

        Args:
            env_indices: Their numbers.
            copy: Whether they are copies; views only of all.
        """
        parts: list[Any] = []
        chosen: list[int] = env_indices.tolist()
        text = 0
        for read in self._reads:
            if read is None:
                parts.append(tuple(self.texts[index][text] for index in chosen))
                text += 1
            else:
                part: npt.NDArray[Any] = read()
                if copy:
                    part = part[env_indices]
                else:
                    part.setflags(write=False)
                parts.append(part)
        return self._assemble(parts)

    def numbers(
        self,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Rewards, terminations and truncations of all sub-environments, as copies."""
        terminations, truncations = self._flags
        # A bool of NumPy that is neither 0 nor 1 would break it.
        return self._rewards.copy(), terminations != 0, truncations != 0

    def _compile_rows(self, leaf: Leaf) -> Callable[[], npt.NDArray[Any]] | None:
        """What shows a leaf of all sub-environments; None for a text."""
        if _is_text(leaf):
            return None
        memory, place = self._memory, self._place
        if leaf.dtype.kind == "b":
            numbers: npt.NDArray[np.uint8] = np.ndarray(
                leaf.shape, np.uint8, memory, place + leaf.offset
            )
            return lambda: numbers != 0
        return lambda: _rows(leaf, memory, place)


def _rows(leaf: Leaf, memory: Any, place: int) -> npt.NDArray[Any]:
    rows: npt.NDArray[Any] = np.ndarray(leaf.shape, leaf.dtype, memory, place + leaf.offset)
    return rows


def _is_text(leaf: Leaf) -> bool:
    return isinstance(leaf.space, TextSpace)


def _refused(error: Violation) -> InvalidActionError:
    return InvalidActionError(f"the action was refused: {error}. No environment was called")
