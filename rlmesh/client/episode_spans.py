"""The spans of a client's episodes; imported where spans are made."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.client.call_spans import CallSpans, Scope, end_span
from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.contract import AutoresetMode
from rlmesh.errors import InvalidActionError, InvalidArgumentError, StateError

# What the caller did wrong: the episode goes on.
_HARMLESS = (InvalidActionError, InvalidArgumentError, StateError)


class EpisodeSpans:
    """The spans of the episodes of one client, one for each sub-environment.

    Args:
        spans: The spans of the client.
        num_envs: The number of sub-environments; None for a single environment.
        mode: When they reset themselves.
    """

    def __init__(self, spans: CallSpans, num_envs: int | None, mode: AutoresetMode | None) -> None:
        self._spans = spans
        self._vector = num_envs is not None
        self._pauses = mode is AutoresetMode.NEXT_STEP
        self._restarts = mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
        count = num_envs or 1
        self._scopes: list[Scope | None] = [None] * count
        self._returns = np.zeros(count)
        self._lengths = np.zeros(count, np.int64)
        # Whose episode is over, and whose next step resets them.
        self._over = np.zeros(count, np.bool_)
        spans.at_end = self._close

    @property
    def scope(self) -> Scope | None:
        """What a call of a single environment belongs to."""
        return None if self._vector else self._scopes[0]

    def reset(self, seed: Any, options: Any) -> None:
        """A reset begins episodes: of all, or of those of its `reset_mask`."""
        mask: Any = options.get("reset_mask") if is_mapping(options) else None
        which = np.arange(len(self._scopes)) if mask is None else np.flatnonzero(mask)
        self._end(which, "reset")
        for index in which.tolist():
            self._begin(index, seed)

    def stepped(
        self,
        rewards: Any,
        terminated: Any,
        truncated: Any,
        env_ids: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """A step was made, of all or of some sub-environments."""
        which = np.arange(len(self._scopes)) if env_ids is None else env_ids
        rewards = np.asarray(rewards).reshape(-1)
        terminated = np.asarray(terminated).reshape(-1)
        over = terminated | np.asarray(truncated).reshape(-1)
        if self._restarts and self._over.any():
            began = self._over[which]
            for index in which[began].tolist():
                self._begin(index, None)
            # With `next_step` this step only resets. Apart from the others none does.
            if self._pauses and env_ids is None:
                which, rewards = which[~began], rewards[~began]
                terminated, over = terminated[~began], over[~began]
        self._returns[which] += rewards
        self._lengths[which] += 1
        if over.any():
            self._end(which[over & terminated], "terminated")
            self._end(which[over & ~terminated], "truncated")
            self._over[which[over]] = True

    @contextlib.contextmanager
    def failing(self) -> Generator[None]:
        """Episodes end with an error of the block that they do not survive."""
        try:
            yield
        except _HARMLESS:
            raise
        except BaseException as error:
            self._end(np.arange(len(self._scopes)), "failure", error)
            raise

    def _close(self) -> None:
        self._end(np.arange(len(self._scopes)), "close")

    def _begin(self, index: int, seed: Any) -> None:
        attributes: dict[str, Any] = {"rlmesh.env_index": index} if self._vector else {}
        if isinstance(seed, int) and not self._vector:
            attributes["rlmesh.seed"] = str(seed)
        self._scopes[index] = self._spans.begin_episode(attributes)
        self._returns[index], self._lengths[index], self._over[index] = 0.0, 0, False

    def _end(
        self, which: npt.NDArray[np.intp], reason: str, error: BaseException | None = None
    ) -> None:
        indices: list[int] = which.tolist()
        for index in indices:
            scope, self._scopes[index] = self._scopes[index], None
            if scope is None:
                continue
            scope.span.set_attributes(
                {
                    "rlmesh.episode.return": float(self._returns[index]),
                    "rlmesh.episode.length": int(self._lengths[index]),
                    "rlmesh.episode.end": reason,
                }
            )
            end_span(scope.span, error)
