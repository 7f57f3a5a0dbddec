"""Counts the episodes of a session, on the way of its steps: only a server with metrics does.

A counter stands in the place of the environment where that is stepped. It changes nothing of what
the environment returns, and counts nothing of a result that is no result: the codec refuses that a
moment later, and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.contract import AutoresetMode
from rlmesh.envs.results import (
    BadResultError,
    flag_of,
    flags_of,
    reward_of,
    rewards_of,
    split_step,
)

Ended: TypeAlias = tuple[int, float, int]
"""How many episodes have ended, the sum of their returns, the sum of their lengths in steps."""

_PARTS = 5
# A name that a type checker does not narrow by.
_plain_tuple: Any = tuple
_FLOATS, _BOOLS = np.dtype(np.float64), np.dtype(np.bool_)
_TRUE = b"\x01"
_add = np.add

NONE_ENDED: Ended = (0, 0.0, 0)
"""No episode has."""


class EpisodeCounter:
    """Counts the episodes of a single environment.

    All runs on the slot's thread, but any thread may read `ended`.

    Args:
        env: The environment.
        note: Called with `ended` when that changes; None: nothing is.

    Attributes:
        ended: The episodes that were terminated or truncated.
    """

    __slots__ = ("_env", "_length", "_note", "_over", "_return", "ended")

    def __init__(self, env: Any, note: Callable[[Ended], None] | None = None) -> None:
        self.ended: Ended = NONE_ENDED
        self._env = env
        self._note = note
        self._return = 0.0
        self._length = 0
        # Whether the last episode has ended, and nobody has reset the environment since.
        self._over = False

    def begin(self, options: Any) -> None:
        """An episode begins by a reset; one that goes on has not ended, and counts for nothing.

        Args:
            options: The options of the reset.
        """
        self._return, self._length, self._over = 0.0, 0, False

    def step(self, action: Any) -> Any:
        """Steps the environment; returns and raises what it returns and raises."""
        returned = self._env.step(action)
        if type(returned) is _plain_tuple and len(returned) == _PARTS:
            # The usual result in the shortest way: every step of a server with metrics is here.
            _, reward, terminated, truncated, _ = returned
            if terminated is False and truncated is False and type(reward) is float:
                self._return += reward
                self._length += 1
                return returned
        self._count(returned)
        return returned

    def _count(self, returned: Any) -> None:
        try:
            _, reward, terminated, truncated, _ = split_step(returned)
            number = reward_of(reward)
            over = flag_of(terminated, "terminated") or flag_of(truncated, "truncated")
        except BadResultError:
            return
        self._return += number
        self._length += 1
        if not over:
            return
        # An environment that is stepped on after the end may say again that it has ended.
        if not (self._over and self._length == 1):
            count, returns, lengths = self.ended
            self.ended = count + 1, returns + self._return, lengths + self._length
            if self._note is not None:
                self._note(self.ended)
        self._return, self._length, self._over = 0.0, 0, True


class VectorEpisodeCounter:
    """Counts the episodes of the sub-environments of a vector environment.

    All runs on the slot's thread, but any thread may read `ended`.

    Args:
        env: The environment.
        num_envs: How many sub-environments it has.
        mode: The autoreset mode of the session.
        note: Called with `ended` when that changes; None: nothing is.

    Attributes:
        ended: The episodes that were terminated or truncated.
    """

    __slots__ = (
        "_began",
        "_env",
        "_note",
        "_num_envs",
        "_over",
        "_pause",
        "_repeats",
        "_returns",
        "_shape",
        "_steps",
        "ended",
    )

    def __init__(
        self,
        env: Any,
        num_envs: int,
        mode: AutoresetMode | None,
        note: Callable[[Ended], None] | None = None,
    ) -> None:
        self.ended: Ended = NONE_ENDED
        self._env = env
        self._num_envs = num_envs
        self._shape = (num_envs,)
        self._note = note
        # With `next_step` the step after an episode's end only resets, and belongs to no episode.
        self._pause = int(mode is AutoresetMode.NEXT_STEP)
        self._repeats = mode not in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
        self._steps = 0
        self._returns = np.zeros(num_envs)
        # What `_steps` was when the episode began.
        self._began = np.zeros(num_envs, np.int64)
        self._over = np.zeros(num_envs, np.bool_)

    def begin(self, options: Any) -> None:
        """Episodes begin by a reset.

        Args:
            options: The options of the reset; `reset_mask` says which sub-environments it is about.
        """
        mask: Any = options.get("reset_mask") if is_mapping(options) else None
        which = slice(None) if mask is None else np.asarray(mask, np.bool_)
        self._returns[which], self._began[which], self._over[which] = 0.0, self._steps, False

    def step(self, action: Any) -> Any:
        """Steps the environment; returns and raises what it returns and raises."""
        returned = self._env.step(action)
        if type(returned) is _plain_tuple and len(returned) == _PARTS:
            # As above.
            _, rewards, terminated, truncated, _ = returned
            if (
                self._is_row(rewards, _FLOATS)
                and self._is_row(terminated, _BOOLS)
                and self._is_row(truncated, _BOOLS)
            ):
                self._steps += 1
                _add(self._returns, rewards, self._returns)
                # A search in a copy of the bytes is the fastest way to find a true one.
                if _TRUE in terminated.tobytes() or _TRUE in truncated.tobytes():
                    self._end(np.flatnonzero(terminated | truncated))
                return returned
        self._count(returned)
        return returned

    def _is_row(self, values: Any, dtype: np.dtype[Any]) -> bool:
        return type(values) is np.ndarray and values.dtype is dtype and values.shape == self._shape

    def _count(self, returned: Any) -> None:
        num_envs = self._num_envs
        try:
            _, rewards, terminated, truncated, _ = split_step(returned, num_envs)
            rewards = rewards_of(rewards, num_envs)
            over = flags_of(terminated, num_envs, "terminations") | flags_of(
                truncated, num_envs, "truncations"
            )
        except BadResultError:
            return
        self._steps += 1
        self._returns += rewards
        if over.any():
            self._end(np.flatnonzero(over))

    def count_some(
        self,
        env_ids: npt.NDArray[np.int64],
        rewards: npt.NDArray[np.float64],
        over: npt.NDArray[np.bool_],
    ) -> None:
        """Some sub-environments have been stepped apart from the others.

        Args:
            env_ids: Their numbers, of shape (n,).
            rewards: The rewards of the step, of shape (n,).
            over: Whether the episode of each is terminated or truncated, of shape (n,).
        """
        # As if the episode had begun a step earlier: `_steps` is that of all.
        self._began[env_ids] -= 1
        self._returns[env_ids] += rewards
        if over.any():
            self._end(env_ids[over])

    def _end(self, env_ids: npt.NDArray[np.int64]) -> None:
        lengths = self._steps - self._began[env_ids]
        # See `EpisodeCounter`.
        new = env_ids[~(self._over[env_ids] & (lengths == 1))] if self._repeats else env_ids
        if len(new):
            count, returns, length = self.ended
            self.ended = (
                count + len(new),
                returns + float(self._returns[new].sum()),
                length + int((self._steps - self._began[new]).sum()),
            )
            if self._note is not None:
                self._note(self.ended)
        self._returns[env_ids], self._over[env_ids] = 0.0, True
        self._began[env_ids] = self._steps + self._pause
