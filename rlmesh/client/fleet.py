"""A fleet: several endpoints that are driven as one vector environment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from rlmesh.client.arguments import check_seed
from rlmesh.client.driver import Driver, Transition
from rlmesh.client.stats import CallStats, added
from rlmesh.client.transitions import Transitions, compile_stack
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import ArgumentTypeError, InvalidActionError, InvalidArgumentError, RlmeshError
from rlmesh.values.guards import is_array, is_mapping, is_row
from rlmesh.values.lane_infos import add_lane, unmasked
from rlmesh.values.lane_parts import compile_join, compile_part
from rlmesh.values.misfit import Misfit

_MASK = "reset_mask"


class Fleet:
    """Drives endpoints together: what is asked of one is asked of all before any answer is awaited.

    A single environment is a lane; the lanes of a vector environment stand side by side. The
    methods are those of `Driver`.

    Args:
        addresses: The endpoints' addresses, in the order of their lanes.
        accept: Raises if a contract at an address is not what the client can drive.
        autoreset: When lanes shall reset themselves; None: as the vector environments among the
            endpoints do, or else at the step after the end.
        options: What `Driver` takes besides.

    Attributes:
        contracts: The endpoints' contracts.
        num_envs: The number of all lanes.
        mode: When lanes reset themselves.

    Raises:
        InvalidArgumentError: If the endpoints do not go together.
        RlmeshError: What `Driver` raises, for the first endpoint that does.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        accept: Callable[[str, EnvContract], None],
        autoreset: AutoresetMode | None,
        **options: Any,
    ) -> None:
        if not addresses:
            raise InvalidArgumentError("give one address or more, got an empty list")
        with contextlib.ExitStack() as undo:
            self._drivers: list[Driver] = []
            for address in addresses:
                driver = Driver(
                    address,
                    accept=partial(accept, address),
                    autoreset=autoreset,
                    as_vector=True,
                    **options,
                )
                undo.callback(driver.close)
                self._drivers.append(driver)
            self.contracts: tuple[EnvContract, ...] = tuple(
                driver.contract for driver in self._drivers
            )
            _check_alike(addresses, self.contracts)
            self.mode: AutoresetMode = self._common_mode(addresses)
            undo.pop_all()
        contract = self.contracts[0]
        ends = np.cumsum([driver.num_envs for driver in self._drivers]).tolist()
        self._ranges = list(pairwise([0, *ends]))
        self.num_envs: int = ends[-1]
        self._part = compile_part(contract.action_space, self.num_envs)
        self._join = compile_join(contract.observation_space)
        self._stack = compile_stack(contract.observation_space)
        # Kept where a reset may leave lanes alone, whose observations it repeats.
        self._last: list[Any] = []

    @property
    def contract(self) -> EnvContract:
        """The contract of the first endpoint."""
        return self.contracts[0]

    @property
    def lane(self) -> str:
        """The names of the lanes in use."""
        return ", ".join(dict.fromkeys(driver.lane for driver in self._drivers))

    def reset(self, seed: Any, options: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the lanes."""
        seeds = self._seeds(seed)
        asked = self._options(options)
        with self._held():
            wanted = [
                place for place, (_, skipped) in enumerate(asked) if not (skipped and self._last)
            ]
            for place in wanted:
                self._drivers[place].post_reset(seeds[place], asked[place][0])
            answers = self._taken(wanted, Driver.take_reset)
        observations: list[Any] = list(self._last) or [None] * len(self._drivers)
        infos: list[dict[str, Any]] = [{}] * len(self._drivers)
        for place, (observation, info) in zip(wanted, answers, strict=True):
            observations[place], infos[place] = observation, info
        return self._together(observations), self._merged(infos)

    def step(self, actions: Any) -> Transition:
        """Steps every lane."""
        encoded = [
            driver.encode(part)
            for driver, part in zip(self._drivers, self._parts(actions), strict=True)
        ]
        with self._held():
            for driver, one in zip(self._drivers, encoded, strict=True):
                driver.post_step(*one)
            made = self._taken(range(len(self._drivers)), Driver.take_step)
        observations, rewards, terminations, truncations, infos = zip(*made, strict=True)
        return (
            self._together(list(observations)),
            np.concatenate(rewards),
            np.concatenate(terminations),
            np.concatenate(truncations),
            self._merged(infos),
        )

    def step_many(self, actions: Iterable[Any]) -> Transitions:
        """Steps every lane for one batch of actions after the other."""
        made: list[Transition] = []
        try:
            for batch in actions:
                made.append(self.step(batch))
                _, _, terminations, truncations, _ = made[-1]
                if self.mode is AutoresetMode.DISABLED and (terminations | truncations).any():
                    break
        except RlmeshError as error:
            error.transitions = self._stacked(made) if made else None
            raise
        if not made:
            raise InvalidArgumentError(
                "step_many needs one action or more, got none; an environment is not stepped by "
                "nothing"
            )
        return self._stacked(made)

    def stats(self) -> dict[str, CallStats]:
        """What the calls of each kind have cost, of all endpoints together."""
        return added([driver.stats() for driver in self._drivers])

    def render(self) -> Any:
        """What each lane's `render` gives."""
        frames = [driver.render() for driver in self._drivers]
        return None if all(frame is None for frame in frames) else _chained(frames)

    def get_attribute(self, name: str) -> Any:
        """Reads an attribute of every lane."""
        return _chained([driver.get_attribute(name) for driver in self._drivers])

    def set_attribute(self, name: str, value: Any) -> None:
        """Sets an attribute of every lane."""
        parts = [value] * len(self._drivers)
        if is_row(value):
            if len(value) != self.num_envs:
                raise InvalidArgumentError(
                    f"{name}: expected one value, or one for each of the {self.num_envs} lanes, "
                    f"got {len(value)}"
                )
            parts = [list(value[start:stop]) for start, stop in self._ranges]
        for driver, part in zip(self._drivers, parts, strict=True):
            driver.set_attribute(name, part)

    def call_method(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Calls a method of every lane."""
        return _chained([driver.call_method(name, arguments, keywords) for driver in self._drivers])

    def close(self) -> None:
        """Gives every environment back. May be called repeatedly."""
        for driver in self._drivers:
            driver.close()

    def _common_mode(self, addresses: Sequence[str]) -> AutoresetMode:
        modes = {driver.mode for driver in self._drivers}
        if len(modes) > 1:
            told = ", ".join(
                f"{address}: {driver.mode.value if driver.mode else 'none told'}"
                for address, driver in zip(addresses, self._drivers, strict=True)
            )
            raise InvalidArgumentError(
                f"the endpoints reset their lanes at different times ({told}); say when with "
                f"autoreset="
            )
        mode = modes.pop()
        if mode is None:
            raise InvalidArgumentError(
                "the endpoints do not tell when their lanes reset themselves; say it with "
                "autoreset="
            )
        return mode

    @contextlib.contextmanager
    def _held(self) -> Generator[None]:
        with contextlib.ExitStack() as stack:
            for driver in self._drivers:
                driver.hold()
                stack.callback(driver.let_go)
            yield

    def _taken(self, places: Iterable[int], take: Callable[[Driver], Any]) -> list[Any]:
        """The answers of all; only then is raised what the first of them failed with."""
        answers: list[Any] = []
        failure: RlmeshError | None = None
        for place in places:
            try:
                answers.append(take(self._drivers[place]))
            except RlmeshError as error:
                error.add_note(
                    f"lanes from {self._ranges[place][0]} on, at {self._drivers[place].address}; "
                    f"the other endpoints have answered"
                )
                failure = failure or error
        if failure is not None:
            raise failure
        return answers

    def _parts(self, actions: Any) -> list[Any]:
        try:
            return [self._part(actions, start, stop) for start, stop in self._ranges]
        except Misfit as error:
            raise InvalidActionError(
                f"the action was refused: {error}. No environment was called"
            ) from error

    def _together(self, observations: list[Any]) -> Any:
        if self.mode is AutoresetMode.DISABLED:
            # What the caller gets is his to write on.
            self._last = [self._join([observation]) for observation in observations]
        return self._join(observations)

    def _merged(self, infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for (start, stop), info in zip(self._ranges, infos, strict=True):
            if not info:
                continue
            for key, value in unmasked(info).items():
                merged.setdefault(key, value)
            for lane in range(start, stop):
                add_lane(merged, info, lane, self.num_envs, lane - start)
        return merged

    def _stacked(self, made: list[Transition]) -> Transitions:
        observations, rewards, terminations, truncations, infos = zip(*made, strict=True)
        return Transitions(
            self._stack(observations),
            np.stack(rewards),
            np.stack(terminations),
            np.stack(truncations),
            list(infos),
        )

    def _seeds(self, seed: Any) -> list[Any]:
        if seed is None:
            return [None] * len(self._drivers)
        if is_row(seed) or (is_array(seed) and seed.ndim):
            seeds = list(seed)
            if len(seeds) != self.num_envs:
                raise InvalidArgumentError(
                    f"reset: seeds must be one for each of the {self.num_envs} lanes, got "
                    f"{len(seeds)}"
                )
        else:
            # As Gymnasium's vector environments count on from it.
            seeds = [check_seed(seed) + lane for lane in range(self.num_envs)]
        return [seeds[start:stop] for start, stop in self._ranges]

    def _options(self, options: Any) -> list[tuple[Any, bool]]:
        """The options for each endpoint, and whether none of its lanes is to be reset."""
        if not is_mapping(options) or _MASK not in options:
            return [(options, False)] * len(self._drivers)
        mask = np.asarray(options[_MASK])
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ArgumentTypeError(
                f"reset: {_MASK} must be a bool array of shape ({self.num_envs},), got "
                f"{options[_MASK]!r:.80}"
            )
        if not mask.any():
            raise InvalidArgumentError(f"reset: {_MASK} must hold for one lane or more, got none")
        return [
            ({**options, _MASK: mask[start:stop]}, not mask[start:stop].any())
            for start, stop in self._ranges
        ]


def _check_alike(addresses: Sequence[str], contracts: Sequence[EnvContract]) -> None:
    first = contracts[0]
    for address, contract in zip(addresses, contracts, strict=True):
        for name in ("observation_space", "action_space"):
            if getattr(contract, name) != getattr(first, name):
                raise InvalidArgumentError(
                    f"the endpoints of one vector environment have equal spaces, but the {name} of "
                    f"{address} is {getattr(contract, name)}, that of {addresses[0]} is "
                    f"{getattr(first, name)}"
                )
        if contract.batched_observation_space or contract.batched_action_space:
            raise InvalidArgumentError(
                f"the lanes of {address} differ in their bounds, so it cannot be one of several "
                f"endpoints; connect to it by itself"
            )


def _chained(parts: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(one for part in parts for one in part)
