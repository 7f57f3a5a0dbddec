"""`ParallelVectorEnv`: a vector environment whose sub-environments run in worker processes."""

from __future__ import annotations

import copy
import pickle
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Generic, Literal

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec, registry
from gymnasium.vector import VectorEnv
from typing_extensions import Self

from rlmesh.codec.infos.info_keys import ENV_REPLACED
from rlmesh.codec.infos.type_guards import is_row
from rlmesh.codec.infos.unpacking import unpack, unpack_info
from rlmesh.codec.vector.infos import add_info
from rlmesh.contract import AutoresetMode, EnvContract, autoreset_mode_from
from rlmesh.counts import check_count
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidArgumentError,
    RlmeshError,
    StateError,
)
from rlmesh.parallel.batch import Actions, Results
from rlmesh.parallel.factories import Factory
from rlmesh.parallel.frames import Frame, split_parts
from rlmesh.parallel.pending import ClosedError, NothingPendingError, PendingError
from rlmesh.parallel.pool import Report, WorkerPool
from rlmesh.parallel.resets import RESET_MASK, check_reset_mask, mask_of, seeds_of
from rlmesh.parallel.sub_env_numbers import sub_env_numbers
from rlmesh.parallel.worker import first_of
from rlmesh.processes.pickling import pickled
from rlmesh.seconds import check_seconds
from rlmesh.spaces import to_gymnasium_space
from rlmesh.spaces.batching import batched_gymnasium_space
from rlmesh.type_arguments import ActType, ObsType

__all__ = ["OnCrash", "ParallelVectorEnv", "StepResult"]

OnCrash = Literal["raise", "replace"]

StepResult = tuple[
    Any, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]
]

# How long the environments may take to close where the caller does not say.
_CLOSE_SECONDS = 10.0


class ParallelVectorEnv(
    VectorEnv[ObsType, ActType, npt.NDArray[Any]],
    Generic[ObsType, ActType],
):
    """A vector environment whose sub-environments run in parallel worker processes.

    `rlmesh.make_vec` makes it. Each worker has a contiguous run of sub-environments, and writes
    their observations, rewards, terminations and truncations into one segment of shared memory.
    What it returns equals what `gymnasium.vector.SyncVectorEnv` of the same environments returns.
    The workers end with this process, whatever kills it. One thread at a time may call it.
    `np_random` is the generator of this object; those of the sub-environments stay with them.

    Example:
        >>> import rlmesh
        >>> envs = rlmesh.make_vec("CartPole-v1", num_envs=4, workers=2)
        >>> observations, infos = envs.reset(seed=0)
        >>> actions = envs.action_space.sample()
        >>> observations, rewards, terminations, truncations, infos = envs.step(actions)
        >>> envs.close()

    Args:
        factories: The callables that make the sub-environments.
        workers: How many workers there are, at most as many.
        autoreset_mode: When sub-environments reset themselves.
        copy: Whether observations are copies that the caller may keep. False saves the copy: the
            arrays are read-only views, which are valid until the next call.
        on_crash: What to do about a worker that has died; see `rlmesh.make_vec`.
        batch_size: For how many sub-environments `recv` waits; None: for all.

    Raises:
        RlmeshError: If a sub-environment cannot be made, or cannot be one of several.
    """

    def __init__(
        self,
        factories: Sequence[Factory],
        workers: int,
        *,
        autoreset_mode: str | gymnasium.vector.AutoresetMode = "next_step",
        copy: bool = True,
        on_crash: OnCrash = "raise",
        batch_size: int | None = None,
    ) -> None:
        # Until the workers are there, nothing is to be closed by Gymnasium's __del__.
        self.closed: bool = True
        mode = _mode_from(autoreset_mode)
        if on_crash not in ("raise", "replace"):
            raise InvalidArgumentError(f"on_crash must be 'raise' or 'replace', got {on_crash!r}")
        self.num_envs: int = len(factories)
        check_count("batch_size", batch_size)
        if batch_size is not None and batch_size > self.num_envs:
            raise InvalidArgumentError(
                f"batch_size={batch_size} is more than there are sub-environments "
                f"({self.num_envs}), so recv() would never return"
            )
        self.batch_size: int = batch_size or self.num_envs
        self.copy: bool = bool(copy)
        self.on_crash: OnCrash = on_crash
        pool = self._pool = WorkerPool(factories, workers, mode)
        self.closed = False
        self._finalizer = weakref.finalize(self, pool.close, _CLOSE_SECONDS)
        self._actions = Actions(pool)
        self._results = Results(pool, copy=self.copy)
        self._write = self._actions.write_all
        self._behind = False
        self._posted = False
        # Why the worker of a sub-environment was replaced whose results were not taken since.
        self._replaced_since: dict[int, str] = {}
        # In which order `recv` takes what is done: the longest sent first.
        self._turn = 0
        self._turns: npt.NDArray[np.int64] = np.zeros(self.num_envs, np.int64)
        contract = pool.contract
        self.single_observation_space: gymnasium.Space[Any] = to_gymnasium_space(
            contract.observation_space
        )
        self.single_action_space: gymnasium.Space[Any] = to_gymnasium_space(contract.action_space)
        self.observation_space: gymnasium.Space[ObsType] = batched_gymnasium_space(
            contract.observation_space, self.num_envs
        )
        self.action_space: gymnasium.Space[ActType] = batched_gymnasium_space(
            contract.action_space, self.num_envs
        )
        self.metadata: dict[str, Any] = {
            **contract.metadata,
            "autoreset_mode": gymnasium.vector.AutoresetMode[mode.name],
        }
        self.render_mode: str | None = contract.render_mode
        self.spec: EnvSpec | None = _spec(contract)

    @property
    def autoreset_mode(self) -> gymnasium.vector.AutoresetMode:
        """When sub-environments reset themselves. Set it before a reset."""
        return gymnasium.vector.AutoresetMode[self._pool.mode.name]

    @autoreset_mode.setter
    def autoreset_mode(self, value: str | gymnasium.vector.AutoresetMode) -> None:
        mode = _mode_from(value)
        if mode is self._pool.mode:
            return
        self._check_open("setting autoreset_mode")
        self._pool.settle()
        self._posted = False
        self._pool.mode = mode
        self._command(Frame.MODE, pickled(mode, "autoreset_mode"), "setting autoreset_mode")
        self.metadata["autoreset_mode"] = gymnasium.vector.AutoresetMode[mode.name]

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | npt.NDArray[Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[ObsType, dict[str, Any]]:
        """Resets the sub-environments; discards the results of steps that were not taken.

        A worker that has died is replaced. So is one that does not come to the end of its last call
        within a second.

        Args:
            seed: An integer from 0, which counts on from sub-environment to sub-environment; or a
                list, tuple or array with one of them or None for each; or None.
            options: Options for the environments. `reset_mask`, a bool array of shape
                `(num_envs,)`, says which sub-environments to reset. It is taken out of the dict, as
                Gymnasium's own vector environments take it.

        Returns:
            The observations of all sub-environments, and the infos of those that were reset.

        Raises:
            ArgumentTypeError: If seed or options have the wrong type, or the options cannot be
                pickled.
            InvalidArgumentError: If a seed is negative, or seeds are not as many as
                sub-environments.
            RemoteEnvError: If a sub-environment raised.
            EnvCrashedError: If a worker died.
            InvalidObservationError: If a sub-environment returned an observation that its space
                does not hold.
            StateError: If it is closed, or some sub-environments shall be reset where all must be.
        """
        self._check_open("reset")
        seeds = seeds_of(seed, self.num_envs)
        if options is not None and not isinstance(options, dict):
            raise ArgumentTypeError(
                f"reset: options must be a dict or None, got {type(options).__name__}"
            )
        checked = check_reset_mask(options, self.num_envs)
        mask = mask_of(checked)
        if mask is not None and self._behind:
            raise StateError(
                "reset: the last call failed, so all must be reset; leave out reset_mask"
            )
        rest = None
        if checked is not None:
            rest = {key: value for key, value in checked.items() if key != RESET_MASK}
        masks: list[bool] = [True] * self.num_envs if mask is None else mask.tolist()
        packed = [
            pickled((seeds[start:stop], rest, masks[start:stop], False), "reset: options")
            for start, stop in self._pool.plan.runs
        ]
        pool = self._pool
        self._behind = True
        pool.settle()
        self._posted = False
        self._replaced_since.clear()
        reports = self._command(Frame.RESET, packed, "reset")
        if options is not None:
            options.pop(RESET_MASK, None)
        self._behind = False
        if seed is not None:
            self._seed_generator(seeds)
        infos = self._infos(dict(enumerate(reports)), range(self.num_envs))
        observations: ObsType = self._results.observations()
        return observations, infos

    def step(
        self, actions: ActType
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Steps every sub-environment.

        Args:
            actions: A member of `action_space`, or what can be read as one exactly.

        Returns:
            Observations, rewards (float64, shape `(num_envs,)`), terminations and truncations
            (bool, shape `(num_envs,)`), and infos.

        Raises:
            InvalidActionError: If the action space does not hold the actions. No environment was
                called.
            RemoteEnvError: If a sub-environment raised; the error has its `env_index`.
            EnvCrashedError: If a worker died.
            InvalidObservationError: If a sub-environment returned an observation that its space
                does not hold.
            InvalidResultError: If a sub-environment returned a result of another form.
            StateError: If it is closed, or the last call failed and no reset came since. It is
                Gymnasium's `AlreadyPendingCallError` where results of steps were not taken.
        """
        if self._behind or self._posted or self.closed or self._pool.forked:
            self._begin("step")
        self._write(actions)
        self._posted = True
        self._pool.post()
        result: StepResult = self._all_results(None, "step")
        return result

    def step_async(self, actions: ActType) -> None:
        """Has every sub-environment step, and returns at once; `step_wait` gives the results.

        Args:
            actions: A member of `action_space`, or what can be read as one exactly.

        Raises:
            InvalidActionError: If the action space does not hold the actions. No environment was
                called.
            StateError: As for `step`.
        """
        self._begin("step_async")
        self._write(actions)
        self._posted = True
        self._pool.post()

    def step_wait(
        self, timeout: float | None = None
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Waits for the results of the steps that `step_async` began.

        Args:
            timeout: For how many seconds; None: no limit.

        Returns:
            What `step` returns.

        Raises:
            RlmeshError: As for `step`.
            CallTimeoutError: If they are not there in time; it names the sub-environments, and says
                where in the code they are. They go on: wait again, or reset.
            StateError: If `step_async` was not called; it is Gymnasium's `NoAsyncCallError`.
        """
        self._check_open("step_wait")
        check_seconds("timeout", timeout)
        if not self._pool.sent.all():
            raise NothingPendingError(
                "step_wait: no step of all sub-environments is in progress; call step_async() "
                "first, or recv() where send() was called"
            )
        result: StepResult = self._all_results(timeout, "step_wait")
        return result

    def send(
        self, actions: ActType, env_ids: Sequence[int] | npt.NDArray[Any] | None = None
    ) -> None:
        """Has some sub-environments step, and returns at once; `recv` gives their results.

        Args:
            actions: A member of the single action space, batched for as many sub-environments.
            env_ids: Their numbers, in the order of the actions; None: all.

        Raises:
            ArgumentTypeError: If the numbers are no integers.
            InvalidArgumentError: If there is no sub-environment of that number, or one is named
                twice.
            InvalidActionError: If that space does not hold the actions. No environment was called.
            StateError: If the last call failed and no reset came since, or if the results of one of
                the sub-environments were not taken; that is Gymnasium's `AlreadyPendingCallError`.
        """
        self._check_known("send")
        indices = sub_env_numbers(env_ids, self.num_envs)
        pending = indices[self._pool.sent[indices]]
        if len(pending):
            raise PendingError(
                f"send: sub-environment {pending[0]} was sent an action before, whose result was "
                f"not taken; call recv() first"
            )
        self._actions.write(actions, indices)
        self._turn += 1
        self._turns[indices] = self._turn
        self._posted = True
        self._pool.post_some(indices)

    def recv(self, timeout: float | None = None) -> StepResult:
        """Waits for the first `batch_size` sub-environments that are done.

        Args:
            timeout: For how many seconds; None: no limit.

        Returns:
            What `step` returns, of these sub-environments. Their numbers stand in
            `info["env_id"]`, int64 of shape `(batch_size,)`.

        Raises:
            RlmeshError: As for `step`.
            CallTimeoutError: As for `step_wait`.
            StateError: If fewer than `batch_size` sub-environments were sent an action; it is
                Gymnasium's `NoAsyncCallError`.
        """
        self._check_known("recv")
        check_seconds("timeout", timeout)
        pool, count = self._pool, self.batch_size
        sent = int(np.count_nonzero(pool.sent))
        if sent < count:
            raise NothingPendingError(
                f"recv: {sent} sub-environments were sent an action, and batch_size is {count}, so "
                f"this would never return; call send() first"
            )
        done = np.flatnonzero(pool.wait_some(count, timeout, "recv"))
        chosen = np.sort(done[np.argsort(self._turns[done], kind="stable")[:count]])
        reports = pool.take(chosen.tolist())
        self._posted = bool(pool.sent.any())
        replaced = self._account(reports, "recv", chosen)
        infos = self._infos(reports, chosen.tolist(), replaced)
        infos["env_id"] = chosen.astype(np.int64)
        rewards, terminations, truncations = self._results.numbers()
        truncations[list(replaced)] = True
        return (
            self._results.observations_of(chosen),
            rewards[chosen],
            terminations[chosen],
            truncations[chosen],
            infos,
        )

    def render(self) -> tuple[Any, ...] | None:
        """Renders every sub-environment.

        Returns:
            What the `render` of each sub-environment returns.

        Raises:
            RlmeshError: As for `call`.
        """
        return self.call("render")

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of every sub-environment, or reads an attribute.

        Args:
            name: The method's name.
            *args: Positional arguments, which are pickled.
            **kwargs: Keyword arguments, likewise.

        Returns:
            What each sub-environment returned.

        Raises:
            ArgumentTypeError: If an argument cannot be pickled.
            InvalidArgumentError: If a result is of a type that infos cannot hold.
            RemoteEnvError: If a sub-environment raised, or has no such attribute.
            EnvCrashedError: If a worker died.
            StateError: As for `step`.
        """
        self._begin(name)
        packed = pickled((name, args, kwargs), f"{name}: an argument")
        return tuple(map(unpack, self._command(Frame.CALL, packed, name)))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Reads an attribute of every sub-environment.

        Args:
            name: The attribute's name.

        Returns:
            The attribute of each sub-environment.

        Raises:
            RlmeshError: As for `call`.
        """
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of every sub-environment.

        Args:
            name: The attribute's name.
            values: A list or tuple with a value for each sub-environment, or one value for all.

        Raises:
            InvalidArgumentError: If there are not as many values as sub-environments.
            RlmeshError: As for `call`.
        """
        self._begin("set_attr")
        each: list[Any] = list(values) if is_row(values) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise InvalidArgumentError(
                f"set_attr: values must be a list or tuple of as many as there are "
                f"sub-environments ({self.num_envs}), or one value, got {len(each)}"
            )
        packed = [
            pickled((name, each[start:stop]), f"set_attr: {name}")
            for start, stop in self._pool.plan.runs
        ]
        self._command(Frame.SET, packed, "set_attr")

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the sub-environments and ends the workers; `close` calls this.

        Args:
            timeout: How many seconds that may take, before workers are killed; None: 10.
            terminate: Whether to kill the workers at once.

        Raises:
            ArgumentTypeError: If `timeout` is no number.
            InvalidArgumentError: If it is negative or not finite.
        """
        check_seconds("timeout", timeout)
        if self._finalizer.detach() is not None:
            seconds = _CLOSE_SECONDS if timeout is None else timeout
            self._pool.close(0.0 if terminate else seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """The class, the environment, and how many there are."""
        pool = self._pool
        return (
            f"{type(self).__name__}({pool.contract.id}, num_envs={self.num_envs}, "
            f"workers={len(pool.plan.runs)})"
        )

    def _all_results(self, timeout: float | None, doing: str) -> Any:
        pool, results = self._pool, self._results
        pool.wait(timeout, doing)
        reports = pool.take()
        self._posted = False
        infos: dict[str, Any] = {}
        replaced: dict[int, str] = {}
        if reports or pool.lost or self._replaced_since:
            replaced = self._account(reports, doing, np.arange(self.num_envs))
            infos = self._infos(reports, range(self.num_envs), replaced)
        rewards, terminations, truncations = results.numbers()
        if replaced:
            truncations[list(replaced)] = True
        return results.observations(), rewards, terminations, truncations, infos

    def _account(
        self, reports: dict[int, Report], doing: str, taken: npt.NDArray[np.intp]
    ) -> dict[int, str]:
        """Raises what failed, or replaces workers that died; why, for each sub-environment."""
        pool = self._pool
        failures = [report for report in reports.values() if isinstance(report, RlmeshError)]
        replaced: dict[int, str] = {}
        if pool.lost and self.on_crash == "raise":
            failures = [pool.crashed(doing), *failures]
        elif pool.lost:
            self._replaced_since.update(self._replaced(reports))
        for env_index in taken.tolist() if self._replaced_since else ():
            if env_index in self._replaced_since:
                replaced[env_index] = self._replaced_since.pop(env_index)
        if failures:
            self._behind = True
            raise first_of(failures)
        return replaced

    def _replaced(self, reports: dict[int, Report]) -> dict[int, str]:
        """Replaces the workers that died; why, for each of their sub-environments."""
        pool = self._pool
        reasons: dict[int, str] = {}
        self._behind = True
        for number in sorted(pool.lost):
            reason = pool.account(number)
            pool.replace(number)
            run = pool.run_of(number)
            packed = pickle.dumps(([None] * len(run), None, [True] * len(run), True))
            answers = pool.command(Frame.RESET, {number: packed}, "reset")
            for env_index, report in zip(run, answers, strict=True):
                reports[env_index] = report
                reasons[env_index] = reason
        self._behind = False
        return reasons

    def _infos(
        self,
        reports: dict[int, Report],
        taken: Sequence[int],
        replaced: dict[int, str] | None = None,
    ) -> dict[str, Any]:
        """The infos in Gymnasium's form; keeps the texts of the observations."""
        infos: dict[str, Any] = {}
        count = len(taken)
        for place, env_index in enumerate(taken):
            report = reports.get(env_index)
            if isinstance(report, bytes) and report:
                texts, ended, info = split_parts(report)
                if texts:
                    self._results.texts[env_index] = unpack(texts)
                for part in (ended, info):
                    if part:
                        add_info(infos, unpack_info(part), place, count)
            if replaced and env_index in replaced:
                add_info(infos, {ENV_REPLACED: replaced[env_index]}, place, count)
        return infos

    def _command(self, kind: Frame, content: bytes | list[bytes], doing: str) -> list[bytes]:
        """Has every worker execute a command, all the same or each its own."""
        each = [content] * len(self._pool.plan.runs) if isinstance(content, bytes) else content
        return self._pool.command(kind, dict(enumerate(each)), doing)

    def _begin(self, doing: str) -> None:
        """Checks that nothing is in progress.

        Raises:
            StateError: If a call is, or the state is not known, or this is closed.
        """
        self._check_known(doing)
        if self._pool.sent.any():
            raise PendingError(
                f"{doing}: results of steps were not taken; call step_wait() or recv() first, or "
                f"reset()"
            )

    def _check_known(self, doing: str) -> None:
        self._check_open(doing)
        if self._behind:
            raise StateError(
                f"{doing}: the last call failed, so the state of the sub-environments is not "
                f"known; call reset() first"
            )

    def _check_open(self, doing: str) -> None:
        if self.closed:
            raise ClosedError(f"{doing}: the vector environment is closed; make a new one")
        if self._pool.forked:
            raise StateError(
                f"{doing}: the workers belong to the process that made them, of which this is a "
                f"fork; make a new vector environment here"
            )

    def _seed_generator(self, seeds: list[int | None]) -> None:
        given = [seed for seed in seeds if seed is not None]
        if given:
            super().reset(seed=given[0])


def _mode_from(given: object) -> AutoresetMode:
    mode = autoreset_mode_from(given)
    if mode is None:
        raise InvalidArgumentError(
            f"autoreset_mode must be one of {', '.join(AutoresetMode)}, got {given!r:.80}"
        )
    return mode


def pool_of(envs: ParallelVectorEnv[Any, Any]) -> WorkerPool:
    """The workers of a vector environment, for the server that serves it."""
    # Of the class in this module, for RLMesh alone: users have no use for the pool.
    return envs._pool  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # as said


def _spec(contract: EnvContract) -> EnvSpec | None:
    known = registry.get(contract.id)
    if known is None or contract.spec is None:
        return None
    spec = copy.deepcopy(known)
    spec.kwargs = dict(contract.spec.kwargs)
    return spec
