"""What somebody who watches sees of a session of an environment: its episode and its images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.codec.slab.layout import Layout, Readable
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.step.result import StepResultCodec, read_steps, stepped
from rlmesh.contract import AutoresetMode
from rlmesh.server.arguments import options_of
from rlmesh.server.sessions.requests import Request
from rlmesh.transports.pipe import Outbox
from rlmesh_api.v1 import env_service_pb2, session_pb2

_log = logging.getLogger("rlmesh.server")

# An array of bytes is an image if it is at least so high and wide.
_LEAST_SIDE = 8
# How many images of an observation are shown, and how many bytes they may have together.
_MOST_IMAGES = 6
_MOST_BYTES = 24 << 20


RENDERED = "rgb_array"
"""The render mode in which a viewer may have `render` called."""


class _Image(NamedTuple):
    """Where an image stands in the slab of an observation.

    Attributes:
        path: Its place in the observation.
        shape: Its shape, without the axis of sub-environments.
        offset: Where that of the first sub-environment begins.
        nbytes: The bytes of one sub-environment.
    """

    path: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class _Episodes(Protocol):
    """Follows the episodes of a session."""

    def begin(self, options: Any) -> None:
        """A reset has begun episodes."""
        ...

    def step(self, reward: Any, terminated: Any, truncated: Any) -> None:
        """A step was executed."""
        ...

    def to_proto(self, env_index: int) -> env_service_pb2.WatchedEpisode:
        """The episode of one sub-environment. Any thread may ask."""
        ...


class EnvWatch:
    """What somebody who watches sees of one session; see `SessionWatch`.

    `note` runs on the slot's thread, `want` and `describe` on those of viewers, `note_kept` on
    either. The slot's thread replaces what viewers read, and changes none of it; a viewer replaces
    `_wanted`, `_until` and `work`.

    Args:
        form: How the results of steps stand in messages.
        observation: How observations stand in slabs.
        num_envs: The number of sub-environments; None for a single environment.
        mode: The autoreset mode of the session.

    Attributes:
        sequence: The number of the last call that was seen.
        has_newest: Whether the images are of that call.
        work: What is done after the next call; None: nothing.
    """

    def __init__(
        self,
        form: StepResultCodec,
        observation: Layout,
        num_envs: int | None,
        mode: AutoresetMode | None,
    ) -> None:
        self.sequence: int = 0
        self.has_newest: bool = False
        self.work: Callable[[], None] | None = None
        self._form = form
        self._num_envs = num_envs
        self._read_answer = form.read_answer
        self._images = _images_of(observation.leaves)
        self._mode = mode
        self._episodes: _Episodes = self._unknown_episodes()
        self._steps = 0
        self._seen = False
        # Of which sub-environments the images of the next call are kept.
        self._wanted: frozenset[int] = frozenset()
        # Until when calls are followed, and whether one came later.
        self._until = inf
        self._missed = False
        self._kept: dict[int, list[bytes]] = {}
        self._broken = False

    @property
    def has_images(self) -> bool:
        """Whether observations hold images. Any thread may ask."""
        return bool(self._images)

    def note(
        self, sequence: int, outbox: Outbox, start: int, end: int, request: Request | None = None
    ) -> None:
        """A call has been executed, and its answer written; see `SessionWatch`."""
        if monotonic() > self._until:
            self.sequence, self.has_newest, self._missed = sequence, False, True
        elif not self._broken:
            if self._missed:
                self._missed, self._episodes = False, self._unknown_episodes()
            try:
                self._note(sequence, outbox.reserve(end, end), start, end, request)
            except Exception:  # noqa: BLE001 - whoever watches never disturbs the session
                _log.exception("a call cannot be watched; this session is not watched any more")
                self._broken = True
        if self.work is not None:
            self._work()

    def note_kept(self, sequence: int, answer: bytes) -> None:
        """The answer of the last call, after which nothing has come; see `SessionWatch`."""
        # Asked for twice before the first was done: the second keeps what nobody wants any more.
        if self._broken or self.has_newest:
            return
        step = self._read_answer(answer, 0, len(answer), sequence)
        if step is not None:
            self._keep_images(step[3], step[4])
        else:
            try:
                found = session_pb2.SessionResponse.FromString(answer)
            except DecodeError:
                found = session_pb2.SessionResponse()
            if found.HasField("reset"):
                self._keep_images(found.reset.observation, 0)
            elif found.HasField("step_many") and found.step_many.steps:
                self._keep_images(found.step_many.steps[-1].observation, 0)
        self.sequence, self.has_newest = sequence, True

    def want(self, env_indices: frozenset[int], until: float) -> None:
        """Has the images of the next call kept; see `SessionWatch`."""
        self._until = until
        last = (self._num_envs or 1) - 1
        self._wanted = frozenset(min(index, last) for index in env_indices)

    def describe(self, session: env_service_pb2.WatchedSession, env_index: int) -> None:
        """Says what there is to see of one sub-environment. Any thread may ask."""
        index = min(env_index, (self._num_envs or 1) - 1)
        session.sequence, session.steps = self.sequence, self._steps
        session.num_envs = self._num_envs or 0
        if self._seen:
            session.episode.CopyFrom(self._episodes.to_proto(index))

    def images(self, env_index: int) -> list[tuple[env_service_pb2.WatchedImage, bytes]]:
        """The images that were kept of one sub-environment; see `SessionWatch`."""
        kept = self._kept.get(min(env_index, (self._num_envs or 1) - 1), ())
        return [
            (env_service_pb2.WatchedImage(path=image.path, shape=image.shape), pixels)
            for image, pixels in zip(self._images, kept, strict=False)
        ]

    def _unknown_episodes(self) -> _Episodes:
        """Follows episodes of which nothing is known yet."""
        if self._num_envs is None:
            return _Episode()
        return _VectorEpisodes(self._num_envs, self._mode)

    def _work(self) -> None:
        work, self.work = self.work, None
        if work is not None:
            work()

    def _note(
        self, sequence: int, buffer: Readable, start: int, end: int, request: Request | None
    ) -> None:
        kind = "step" if request is None else request.kind
        if kind == "step":
            step = self._read_answer(buffer, start, end, sequence)
            if step is None:
                return
            reward, terminated, truncated, slab, begin, _, _ = step
            self._steps += 1
            self._episodes.step(reward, terminated, truncated)
            self._saw(sequence, slab, begin)
        elif kind == "step_many":
            steps = read_steps(self._form, buffer, start, end, sequence)
            for reward, terminated, truncated, *_ in steps or ():
                self._steps += 1
                self._episodes.step(reward, terminated, truncated)
            if steps:
                self._saw(sequence, steps[-1][3], steps[-1][4])
        elif kind == "reset" and request is not None and request.message is not None:
            answer = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
            self._episodes.begin(options_of(request.message.reset))
            self._saw(sequence, answer.reset.observation, 0)
        elif kind == "step_some":
            answer = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
            self._note_some(answer.step_some)
            self.sequence = sequence

    def _note_some(self, some: session_pb2.StepSomeResult) -> None:
        env_ids = np.array(some.env_ids, np.int64)
        step = stepped(some.step, len(env_ids))
        if step is not None and isinstance(self._episodes, _VectorEpisodes):
            self._steps += 1
            self._episodes.step_some(env_ids, step[0], step[1] | step[2])
            self._seen = True

    def _saw(self, sequence: int, slab: Readable, begin: int) -> None:
        self._seen = True
        self.sequence, self.has_newest = sequence, False
        if self._wanted:
            self._keep_images(slab, begin)
            self.has_newest = True

    def _keep_images(self, slab: Readable, begin: int) -> None:
        wanted, self._wanted = self._wanted, frozenset()
        kept: dict[int, list[bytes]] = {}
        for env_index in wanted:
            parts = kept[env_index] = []
            for image in self._images:
                first = begin + image.offset + env_index * image.nbytes
                parts.append(bytes(slab[first : first + image.nbytes]))
        self._kept = kept


class _Episode:
    """Follows the episodes of a single environment.

    A viewer may read at worst the reward of this step beside the return of the last one.
    """

    __slots__ = ("ended", "length", "over", "partial", "reward", "total", "truncated")

    def __init__(self) -> None:
        self.reward = 0.0
        self.total = 0.0
        self.length = 0
        self.partial = True
        self.over = False
        self.truncated = False
        self.ended = 0, 0.0, 0

    def begin(self, options: Any) -> None:
        self.reward, self.total, self.length = 0.0, 0.0, 0
        self.partial = self.over = False

    def step(self, reward: float, terminated: bool, truncated: bool) -> None:
        if self.over:
            self.begin(None)
        self.reward = reward
        self.total += reward
        self.length += 1
        if terminated or truncated:
            self.truncated = not terminated
            self.over = True
            self.ended = self.ended[0] + 1, self.total, self.length

    def to_proto(self, env_index: int) -> env_service_pb2.WatchedEpisode:
        ended, last_return, last_length = self.ended
        return env_service_pb2.WatchedEpisode(
            reward=self.reward,
            episode_return=self.total,
            length=self.length,
            partial=self.partial,
            terminated=self.over and not self.truncated,
            truncated=self.over and self.truncated,
            ended=ended,
            last_return=last_return,
            last_length=last_length,
        )


class _VectorEpisodes:
    """Follows the episodes of the sub-environments of a vector environment.

    Viewers may read an array while the slot's thread writes it: of one sub-environment, at worst,
    the reward of this step beside the return of the last one.
    """

    def __init__(self, num_envs: int, mode: AutoresetMode | None) -> None:
        # With `next_step` the step after an episode's end only resets, and belongs to no episode.
        self._pauses = mode is AutoresetMode.NEXT_STEP
        self._rewards = np.zeros(num_envs)
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, np.int64)
        self._partial = np.ones(num_envs, np.bool_)
        self._terminated = np.zeros(num_envs, np.bool_)
        self._truncated = np.zeros(num_envs, np.bool_)
        self._over = np.zeros(num_envs, np.bool_)
        self._ended = np.zeros(num_envs, np.int64)
        self._last_returns = np.zeros(num_envs)
        self._last_lengths = np.zeros(num_envs, np.int64)

    def begin(self, options: Any) -> None:
        mask: Any = options.get("reset_mask") if is_mapping(options) else None
        which = slice(None) if mask is None else np.asarray(mask, np.bool_)
        for array in (self._rewards, self._returns, self._lengths):
            array[which] = 0
        for flags in (self._partial, self._terminated, self._truncated, self._over):
            flags[which] = False

    def step(
        self,
        reward: npt.NDArray[np.float64],
        terminated: npt.NDArray[np.bool_],
        truncated: npt.NDArray[np.bool_],
    ) -> None:
        before = self._over
        first = before.any()
        if first:
            self._restart(before)
        self._rewards, self._terminated, self._truncated = reward, terminated, truncated
        counted = ~before if first and self._pauses else slice(None)
        self._returns[counted] += reward[counted]
        self._lengths[counted] += 1
        over = self._over = terminated | truncated
        if over.any():
            self._end(np.flatnonzero(over & ~before) if self._pauses else np.flatnonzero(over))

    def step_some(
        self,
        env_ids: npt.NDArray[np.int64],
        rewards: npt.NDArray[np.float64],
        over: npt.NDArray[np.bool_],
    ) -> None:
        """Some sub-environments have been stepped apart from the others."""
        self._restart(env_ids[self._over[env_ids]])
        self._rewards[env_ids] = rewards
        self._returns[env_ids] += rewards
        self._lengths[env_ids] += 1
        self._over[env_ids] = over
        self._end(env_ids[over])

    def _restart(self, which: Any) -> None:
        self._returns[which], self._lengths[which], self._partial[which] = 0.0, 0, False

    def _end(self, env_ids: npt.NDArray[np.int64]) -> None:
        self._ended[env_ids] += 1
        self._last_returns[env_ids] = self._returns[env_ids]
        self._last_lengths[env_ids] = self._lengths[env_ids]

    def to_proto(self, env_index: int) -> env_service_pb2.WatchedEpisode:
        at = env_index
        return env_service_pb2.WatchedEpisode(
            reward=self._rewards[at],
            episode_return=self._returns[at],
            length=self._lengths[at],
            partial=bool(self._partial[at]),
            terminated=bool(self._terminated[at]),
            truncated=bool(self._truncated[at]),
            ended=self._ended[at],
            last_return=self._last_returns[at],
            last_length=self._last_lengths[at],
        )


def _images_of(leaves: tuple[Leaf, ...]) -> list[_Image]:
    """The images in an observation, as many as are shown."""
    found: list[_Image] = []
    room = _MOST_BYTES
    for leaf in leaves:
        count = 1 if leaf.num_envs is None else leaf.num_envs
        shape = leaf.shape if leaf.num_envs is None else leaf.shape[1:]
        nbytes = leaf.nbytes // count if count else 0
        if leaf.dtype == np.uint8 and _is_image(shape) and nbytes <= room:
            found.append(_Image(leaf.path, shape, leaf.offset, nbytes))
            room -= nbytes
    return found[:_MOST_IMAGES]


def _is_image(shape: tuple[int, ...]) -> bool:
    """Whether arrays of that shape are images: height and width, and colours or a few in a row."""
    if len(shape) == 2:
        return min(shape) >= _LEAST_SIDE
    if len(shape) != 3:
        return False
    first, middle, last = shape
    last_is_colour = last in (1, 3, 4) and min(first, middle) >= _LEAST_SIDE
    return last_is_colour or (1 <= first < _LEAST_SIDE and min(middle, last) >= _LEAST_SIDE)
