"""One sub-environment in its worker: stepped and reset, with its results in the segment."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from rlmesh.codec.infos.packing import pack, pack_info
from rlmesh.codec.infos.unpacking import unpack
from rlmesh.codec.slab.arrays import compile_put, compile_read
from rlmesh.codec.slab.leaves import Leaf, arrange
from rlmesh.codec.slab.protocols import Put, Read
from rlmesh.codec.slab.single_leaf import compile_single_encode_into
from rlmesh.codec.slab.structure import compile_assemble, compile_flatten
from rlmesh.codec.slab.violations import Violation, typename
from rlmesh.contract import AutoresetMode
from rlmesh.envs import forks
from rlmesh.envs.raised import CallFailedError, env_raised, failed
from rlmesh.envs.results import BadResultError, flag_of, reward_of, split_reset, split_step
from rlmesh.parallel.frames import join_parts
from rlmesh.parallel.segment import SegmentPlan
from rlmesh_api.contract import Space, TextSpace
from rlmesh_api.v1 import session_pb2

__all__ = ["SubEnv"]

_pack_reward = struct.Struct("<d").pack_into
_NO_TAIL: Any = ()
_NO_TEXTS: list[str] = []


class SubEnv:
    """One sub-environment, as `SyncVectorEnv` steps and resets each of its own.

    Args:
        env: The environment, a `gymnasium.Env`.
        env_index: Its number.
        observation: Its observation space.
        action: Its action space.
        plan: How the segment is divided.
        memory: The segment.

    Attributes:
        env: As given.
        mode: When it resets itself.
        texts: The texts of the next action, in the order of its leaves.
    """

    def __init__(
        self,
        env: Any,
        env_index: int,
        observation: Space,
        action: Space,
        plan: SegmentPlan,
        memory: mmap.mmap,
    ) -> None:
        self.env = env
        self.mode: AutoresetMode = AutoresetMode.NEXT_STEP
        self.texts: list[str] = []
        self._env_index = env_index
        self._memory = memory
        self._over = False
        self._tuple_space = observation.kind == "tuple"
        self._action = _compile_action(
            action, plan.actions.leaves, plan.action, env_index, memory, lambda: self.texts
        )
        self._write = _compile_write(
            observation, plan.observations.leaves, plan.observation, env_index, memory
        )
        self._reward = plan.rewards + 8 * env_index
        self._terminated = plan.terminations + env_index
        self._truncated = plan.truncations + env_index

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> bytes:
        """Resets it; returns its report.

        Raises:
            CallFailedError: If it raised, or gave what it should not.
        """
        self._over = False
        observation, info = self._reset({"seed": seed, "options": options})
        return self._report(self._put("reset", observation), None, info)

    def start_over(self) -> bytes:
        """Resets it in place of a step, because its worker has died; returns its report.

        Raises:
            CallFailedError: If it raised, or gave what it should not.
        """
        observation, info = self._reset({})
        self._note(0.0, terminated=False, truncated=True)
        self._over = True
        texts = self._put("reset", observation)
        ended: dict[str, Any] | None = None
        if self.mode is AutoresetMode.SAME_STEP:
            # What a trainer reads where an episode was cut off.
            ended = {"final_obs": observation, "final_info": {}}
        return self._report(texts, ended, info)

    def step(self) -> bytes:
        """Steps it, or resets it where its episode is over; returns its report.

        Raises:
            CallFailedError: If it raised, or gave what it should not.
        """
        if self._over and self.mode is not AutoresetMode.SAME_STEP:
            return self._begin_episode()
        memory = self._memory
        action = self._action()
        generation = forks.generation
        try:
            returned = self.env.step(action)
        except BaseException as error:
            if forks.generation != generation:
                forks.end_process(error)
            raise self._raised("step", error) from error
        if forks.generation != generation:
            forks.end_process(None)
        try:
            observation, reward, terminated, truncated, info = split_step(returned)
            # What nearly every environment gives needs no frames of functions.
            if type(reward) is not float:
                reward = reward_of(reward)
            if terminated is not True and terminated is not False:
                terminated = flag_of(terminated, "terminated")
            if truncated is not True and truncated is not False:
                truncated = flag_of(truncated, "truncated")
        except BadResultError as error:
            raise self._bad_result("step", error) from error
        ended = None
        self._over = over = terminated or truncated
        if over and self.mode is AutoresetMode.SAME_STEP:
            ended = {"final_obs": observation, "final_info": info}
            observation, info = self._reset({})
        texts = self._put("step", observation)
        _pack_reward(memory, self._reward, reward)
        memory[self._terminated] = terminated
        memory[self._truncated] = truncated
        return self._report(texts, ended, info) if texts or ended or info else b""

    def _begin_episode(self) -> bytes:
        """Resets it in place of a step; returns its report."""
        if self.mode is AutoresetMode.DISABLED:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ARGUMENT,
                f"sub-environment {self._env_index}: its episode is over, and autoreset is "
                f'disabled; reset it first, with reset(options={{"reset_mask": ...}})',
            )
        observation, info = self._reset({})
        self._note(0.0, terminated=False, truncated=False)
        self._over = False
        return self._report(self._put("reset", observation), None, info)

    def _note(self, reward: float, *, terminated: bool, truncated: bool) -> None:
        memory = self._memory
        _pack_reward(memory, self._reward, reward)
        memory[self._terminated] = terminated
        memory[self._truncated] = truncated

    def _reset(self, arguments: dict[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        try:
            with forks.EndsInChild():
                returned = self.env.reset(**arguments)
        except BaseException as error:
            raise self._raised("reset", error) from error
        try:
            return split_reset(returned, tuple_space=self._tuple_space)
        except BadResultError as error:
            raise self._bad_result("reset", error) from error

    def _put(self, name: str, observation: Any) -> list[str]:
        """Writes an observation; returns its texts."""
        try:
            return self._write(observation)
        except Violation as error:
            error.env_index = self._env_index
            raise failed(
                session_pb2.ERROR_CODE_INVALID_OBSERVATION,
                f"the environment's {name}() returned an observation that its space does not hold: "
                f"{error}. The next call should be a reset",
                error,
            ) from error
        except BaseException as error:
            # Reading may run the environment's code, such as `__array__`.
            raise self._raised(name, error) from error

    def _report(
        self, texts: list[str], ended: dict[str, Any] | None, info: Mapping[str, Any]
    ) -> bytes:
        """What stands in no array: texts, the end of an episode, and the info; mostly empty."""
        if not (texts or ended or info):
            return b""
        return join_parts(pack(texts) if texts else b"", pack_info(ended)[0], pack_info(info)[0])

    def _raised(self, name: str, error: BaseException) -> CallFailedError:
        return env_raised(f"sub-environment {self._env_index}: the environment's {name}()", error)

    def _bad_result(self, name: str, error: BadResultError) -> CallFailedError:
        return failed(
            session_pb2.ERROR_CODE_INVALID_RESULT,
            f"sub-environment {self._env_index}: the environment's {name}() returned what "
            f"Gymnasium does not allow: {error}. The next call should be a reset",
            error,
        )


def _compile_write(
    space: Space, rows: Iterable[Leaf], base: int, env_index: int, memory: mmap.mmap
) -> Callable[[Any], list[str]]:
    """Compiles what writes an observation into its rows; it returns the texts."""
    leaves = _at_rows(space, rows, env_index)
    if len(leaves) == 1 and not isinstance(space, TextSpace):
        (leaf,) = leaves
        if leaf is not None and space.kind not in ("dict", "tuple"):
            encode_into = compile_single_encode_into(replace(leaf, offset=0))
            place = base + leaf.offset

            def write_one(observation: Any) -> list[str]:
                encode_into(observation, memory, place)
                return _NO_TEXTS

            return write_one
    flatten = compile_flatten(space)
    puts: list[Put | None] = [None if leaf is None else compile_put(leaf) for leaf in leaves]
    paths = [leaf.path for leaf in arrange(space, None)]

    def write(observation: Any) -> list[str]:
        texts: list[str] = []
        for put, value, path in zip(puts, flatten(observation), paths, strict=True):
            if put is not None:
                put(value, memory, base, None, _NO_TAIL)
            elif isinstance(value, str):
                texts.append(str(value))
            else:
                raise Violation("type", path, None, f"expected a str, got {typename(value)}")
        return texts

    return write


def _compile_action(
    space: Space,
    rows: Iterable[Leaf],
    base: int,
    env_index: int,
    memory: mmap.mmap,
    texts: Callable[[], list[str]],
) -> Callable[[], Any]:
    """Compiles what reads an action from its rows, and its texts from `texts`."""
    reads: list[Read | None] = [
        None if leaf is None else compile_read(leaf) for leaf in _at_rows(space, rows, env_index)
    ]
    if len(reads) == 1 and reads[0] is not None and space.kind not in ("dict", "tuple"):
        read_one = reads[0]
        return lambda: read_one(memory, base, _NO_TAIL)
    assemble = compile_assemble(space)

    def action() -> Any:
        rest = iter(texts())
        return assemble(
            [next(rest) if read is None else read(memory, base, _NO_TAIL) for read in reads]
        )

    return action


def _at_rows(space: Space, rows: Iterable[Leaf], env_index: int) -> list[Leaf | None]:
    """The leaves of one sub-environment, each at its row; None for a text, which has none."""
    return [
        None
        if isinstance(leaf.space, TextSpace)
        else replace(leaf, offset=row.offset + env_index * leaf.nbytes)
        for leaf, row in zip(arrange(space, None), rows, strict=True)
    ]


def read_texts(packed: bytes) -> list[str]:
    """The texts of an action as they crossed the socket."""
    texts: list[str] = unpack(packed)
    return texts
