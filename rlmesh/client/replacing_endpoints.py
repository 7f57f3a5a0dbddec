"""Several endpoints of which a lost one is replaced: `on_loss="replace"`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from rlmesh.client.address_source import AddressSource
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import Transition
from rlmesh.client.multi_endpoint import MultiEndpoint
from rlmesh.client.replacement import LONGEST_RESUME, LONGEST_SILENCE, Replacement
from rlmesh.codec.infos.info_keys import ENV_REPLACED, ENV_SEED
from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.codec.vector.infos import add_info
from rlmesh.codec.vector.stacking import compile_unstack
from rlmesh.contract import AutoresetMode
from rlmesh.errors import EndpointError, RlmeshError
from rlmesh.foreign_text import LONGEST_TEXT, one_line
from rlmesh.parallel.resets import RESET_MASK

# How many endpoints are awaited or replaced at once, after one of them was lost.
_MOST_THREADS = 32

ResultType = TypeVar("ResultType")


class ReplacingEndpoints(MultiEndpoint):
    """As `MultiEndpoint`, but an endpoint that is lost is replaced, and ends no other episode.

    The sub-environments of a lost endpoint come back reset, with `truncated` and reward 0. Nothing
    else is called for that, and the other endpoints have stepped as ever. While no endpoint is
    lost, one thread sends all requests and awaits all answers. From the first loss in a call on,
    the others of that call are awaited on threads, so that several losses take as long as one.

    Args:
        source: Where the addresses stand.
        addresses: Those to connect to first.
        options: How to connect; see `MultiEndpoint`.
        enough: With how many sub-environments no further address is needed; those that are left
            replace lost ones. None: all addresses are used.

    Attributes:
        replaced_seeds: The seed of each sub-environment that was reset because its endpoint was
            lost, since its last seeded reset.

    Raises:
        RlmeshError: As `MultiEndpoint`.
    """

    def __init__(
        self,
        source: AddressSource,
        addresses: Sequence[str],
        options: EnvConnectOptions,
        enough: int | None = None,
    ) -> None:
        limited = dataclasses.replace(
            options, longest_resume=LONGEST_RESUME, longest_silence=LONGEST_SILENCE
        )
        super().__init__(addresses, limited, enough)
        self.replaced_seeds: dict[int, int] = {}
        self._replacement = Replacement(source, limited, self._env_clients, self.address)
        self._unstack = compile_unstack(self.contract.observation_space)
        # The threads of one call share these, and each has its own endpoints: no lock is needed.
        # Why an endpoint is lost that was not replaced yet.
        self._lost: dict[int, EndpointError] = {}
        # What the next step of an endpoint returns, without a call: in the mode `next_step` the
        # step after an end ignores its action, and the endpoint was reset before.
        self._fresh: dict[int, tuple[Any, dict[str, Any]]] = {}
        # Why a sub-environment was reset, and with which seed, until a step has reported it.
        self._unreported: dict[int, tuple[str, int]] = {}
        self._last_seeds: list[int | None] = [None] * self.num_envs

    def follow(self, addresses: Sequence[str]) -> bool:
        """Connects to addresses that are new, and leaves others; see `MultiEndpoint`."""
        changed = super().follow(addresses)
        if changed:
            for noted in (self._lost, self._fresh, self._unreported, self.replaced_seeds):
                noted.clear()
            self._last_seeds = [None] * self.num_envs
        return changed

    def reset(self, seed: Any, options: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the sub-environments; a lost endpoint is replaced before."""
        seeds = self._seeds(seed)
        asked = self._options(options)
        count = len(self._env_clients)
        wanted = [index for index in range(count) if not (asked[index][1] and self._last)]
        self._forget(wanted, seeds, asked)

        def post(index: int) -> None:
            client = self._env_clients[index]
            if client.lost is None:
                client.begin_reset(seeds[index], asked[index][0])
            else:
                self._lost[index] = client.lost

        def replace(index: int) -> tuple[Any, dict[str, Any]]:
            return self._reset_another(index, seeds[index], asked[index][0])

        self._post_all(wanted, post, lambda index: self._env_clients[index].end_reset())
        answers = self._take_all(
            wanted, lambda index: self._env_clients[index].end_reset(), replace
        )
        observations: list[Any] = list(self._last) or [None] * count
        infos: list[dict[str, Any]] = [{}] * count
        for index, (observation, info) in zip(wanted, answers, strict=True):
            observations[index], infos[index] = observation, info
        return self._together(observations), self._merged(infos)

    def step(self, actions: Any) -> Transition:
        """Steps every sub-environment."""
        self.begin_step(actions)
        return self.end_step(None)

    def begin_step(self, actions: Any) -> None:
        """Sends a step of every sub-environment, whose results `end_step` returns."""
        encoded = [
            client.encode(part)
            for client, part in zip(self._env_clients, self._parts(actions), strict=True)
        ]

        def post(index: int) -> None:
            if index not in self._fresh:
                self._env_clients[index].begin_encoded(*encoded[index])

        self._post_all(range(len(encoded)), post, lambda index: self._take_step(index, None))

    def end_step(self, timeout: float | None) -> Transition:
        """Awaits the step that `begin_step` has sent."""
        deadline = None if timeout is None else time.monotonic() + timeout
        indices = range(len(self._env_clients))
        made = self._take_all(
            indices, lambda index: self._take_step(index, deadline), self._step_another
        )
        if self._unreported:
            made = [self._reported(index, each) for index, each in zip(indices, made, strict=True)]
        return self._stepped(made)

    def begin_one(self, number: int, actions: Any) -> None:
        """Sends a step to one endpoint; see `partial_steps.Endpoints`."""
        encoded = self._env_clients[number].encode(actions)
        if number not in self._fresh:
            self._noticing(number, lambda: self._env_clients[number].begin_encoded(*encoded))

    def end_one(self, number: int, timeout: float | None) -> Transition:
        """Awaits the step that `begin_one` has sent; a lost endpoint is replaced meanwhile."""
        deadline = None if timeout is None else time.monotonic() + timeout
        (made,) = self._take_all(
            [number], lambda index: self._take_step(index, deadline), self._step_another
        )
        return self._reported(number, made)

    def close(self) -> None:
        """Gives every environment back. May be called repeatedly."""
        self._replacement.close()
        super().close()

    def _post_all(
        self, indices: Sequence[int], post: Callable[[int], None], undo: Callable[[int], Any]
    ) -> None:
        """Sends a request to each endpoint, and notes which are lost.

        Args:
            indices: The endpoints.
            post: Sends one.
            undo: Awaits the answer to one, where another could not be sent.
        """

        def attempt(index: int) -> RlmeshError | None:
            try:
                self._noticing(index, lambda: post(index))
            except RlmeshError as error:
                return error
            return None

        failures: list[RlmeshError | None] = []
        for index in indices:
            failures.append(attempt(index))
            if failures[-1] is not None or index in self._lost:
                break
        if not any(failures):
            failures += _side_by_side(attempt, indices[len(failures) :])
        failure = next(filter(None, failures), None)
        if failure is not None:
            for index, failed in zip(indices, failures, strict=False):
                if failed is None and index not in self._lost:
                    undo(index)
            self._lost.clear()
            raise failure

    def _take_all(
        self,
        indices: Sequence[int],
        take: Callable[[int], ResultType],
        replace: Callable[[int], ResultType],
    ) -> list[ResultType]:
        """Awaits the answer of each endpoint, and replaces those that are lost.

        Args:
            indices: The endpoints.
            take: Awaits the answer of one.
            replace: Gives the answer of a lost one.

        Raises:
            RlmeshError: The first failure, after all have answered.
        """
        outcomes: list[list[ResultType] | RlmeshError] = []
        for index in indices:
            outcome = self._try(index, take)
            if outcome is None:
                break
            outcomes.append(outcome)

        def finish(index: int) -> list[ResultType] | RlmeshError:
            outcome = self._try(index, take)
            try:
                return [replace(index)] if outcome is None else outcome
            except RlmeshError as error:
                return error

        outcomes += _side_by_side(finish, indices[len(outcomes) :])
        failures: list[RlmeshError] = []
        for index, outcome in zip(indices, outcomes, strict=True):
            if isinstance(outcome, RlmeshError):
                self._locate(index, outcome)
                failures.append(outcome)
        if failures:
            raise failures[0]
        return [answer for outcome in outcomes if isinstance(outcome, list) for answer in outcome]

    def _try(
        self, index: int, take: Callable[[int], ResultType]
    ) -> list[ResultType] | RlmeshError | None:
        """The answer of an endpoint, in a list, or its failure; None where it is lost."""
        if index in self._lost:
            return None
        try:
            return self._noticing(index, lambda: [take(index)])
        except RlmeshError as error:
            return error

    def _noticing(self, index: int, do: Callable[[], ResultType]) -> ResultType | None:
        """Does a part of a call; where the endpoint is lost, notes that and returns None."""
        client = self._env_clients[index]
        try:
            return do()
        except RlmeshError:
            if client.lost is None:
                raise
            self._lost[index] = client.lost
            return None

    def _take_step(self, index: int, deadline: float | None) -> Transition:
        fresh = self._fresh.pop(index, None)
        if fresh is not None:
            return self._first(index, *fresh)
        rest = None if deadline is None else max(0.0, deadline - time.monotonic())
        return self._env_clients[index].end_step(rest)

    def _step_another(self, index: int) -> Transition:
        """Replaces a lost endpoint in a step, and returns what its sub-environments begin with."""
        start, stop = self._ranges[index]
        reason, seeds = self._lost_reason(index), self._new_seeds(range(start, stop))
        fresh = self._replacement.begin(index, reason, seeds, None)
        del self._lost[index]
        self._note_seeds(range(start, stop), seeds, reason)
        if self.mode is AutoresetMode.NEXT_STEP:
            self._fresh[index] = fresh
        return self._first(index, *fresh)

    def _reset_another(
        self, index: int, seeds: list[int | None] | None, options: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Replaces a lost endpoint in a reset, and returns the result of the reset."""
        indices = range(*self._ranges[index])
        reason = self._lost_reason(index)
        if not is_mapping(options) or RESET_MASK not in options:
            fresh = self._replacement.begin(index, reason, seeds, options)
        else:
            # The sub-environments that were not to be reset have lost their episodes, too.
            mask = options[RESET_MASK]
            rest = {key: value for key, value in options.items() if key != RESET_MASK}
            others = [each for each, masked in zip(indices, mask, strict=True) if not masked]
            drawn = dict(zip(others, self._new_seeds(others), strict=True))
            given = dict(zip(indices, seeds or [None] * len(indices), strict=True))
            chosen = [{**given, **drawn}[each] for each in indices]
            fresh = self._replacement.begin(index, reason, chosen, rest)
            self._note_seeds(others, list(drawn.values()), reason)
        del self._lost[index]
        return fresh

    def _lost_reason(self, index: int) -> str:
        return one_line(str(self._lost[index]), LONGEST_TEXT)

    def _first(self, index: int, observation: Any, info: dict[str, Any]) -> Transition:
        """A step that gives the first observation of an episode."""
        start, stop = self._ranges[index]
        count = stop - start
        no, rewards = np.zeros(count, np.bool_), np.zeros(count, np.float64)
        return observation, rewards, no, no.copy(), dict(info)

    def _reported(self, index: int, made: Transition) -> Transition:
        """A step's result, in which the sub-environments say that they were reset meanwhile."""
        start, stop = self._ranges[index]
        lost = [each for each in range(start, stop) if each in self._unreported]
        if not lost:
            return made
        observation, rewards, terminations, truncations, info = made
        info = dict(info)
        each_observation = self._unstack(observation, stop - start)
        for env_index in lost:
            reason, seed = self._unreported.pop(env_index)
            place = env_index - start
            truncations[place] = True
            said: dict[str, Any] = {ENV_REPLACED: reason, ENV_SEED: seed}
            if self.mode is AutoresetMode.SAME_STEP:
                # What a trainer reads where an episode was cut off.
                said |= {"final_obs": each_observation[place], "final_info": {}}
            add_info(info, said, place, stop - start)
        return observation, rewards, terminations, truncations, info

    def _new_seeds(self, indices: Sequence[int]) -> list[int]:
        """A seed for each sub-environment; it follows from the last one, where there was one."""
        return [
            int(
                np.random.SeedSequence(
                    None if (last := self._last_seeds[each]) is None else (last, each)
                ).generate_state(1)[0]
            )
            for each in indices
        ]

    def _note_seeds(self, indices: Sequence[int], seeds: Sequence[int], reason: str) -> None:
        for env_index, seed in zip(indices, seeds, strict=True):
            self._last_seeds[env_index] = self.replaced_seeds[env_index] = seed
            self._unreported[env_index] = (reason, seed)

    def _forget(
        self, wanted: Sequence[int], seeds: list[Any], asked: list[tuple[Any, bool]]
    ) -> None:
        """Forgets what a reset puts an end to, and keeps its seeds."""
        self._lost.clear()
        for index in wanted:
            self._fresh.pop(index, None)
            options = asked[index][0]
            start, stop = self._ranges[index]
            mask = options.get(RESET_MASK) if is_mapping(options) else None
            for place, env_index in enumerate(range(start, stop)):
                if mask is not None and not mask[place]:
                    continue
                self._unreported.pop(env_index, None)
                if seeds[index] is not None and seeds[index][place] is not None:
                    self._last_seeds[env_index] = seeds[index][place]
                    self.replaced_seeds.pop(env_index, None)


def _side_by_side(do: Callable[[int], ResultType], indices: Sequence[int]) -> list[ResultType]:
    """What a function returns for each index, called on threads where there are several."""
    if len(indices) < 2:
        return [do(index) for index in indices]
    threads = min(len(indices), _MOST_THREADS)
    with ThreadPoolExecutor(threads, thread_name_prefix="rlmesh-replacing") as pool:
        return list(pool.map(do, indices))
