"""Several endpoints that are driven as one vector environment."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import pairwise
from operator import methodcaller
from typing import Any

import numpy as np

from rlmesh.client.async_steps import Partial
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient, Transition
from rlmesh.client.partial_steps import PartialSteps
from rlmesh.client.stats import CallStats, added
from rlmesh.client.traced_clients import connect_env
from rlmesh.client.transitions import Transitions
from rlmesh.client.unexposed import unexposed
from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.codec.slab.violations import Violation
from rlmesh.codec.vector.infos import add_sub_env, unmasked
from rlmesh.codec.vector.parts import compile_join, compile_part
from rlmesh.codec.vector.stacking import compile_stack
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import InvalidActionError, InvalidArgumentError, RlmeshError
from rlmesh.foreign_text import LONGEST_TEXT, one_line
from rlmesh.notes import add_note
from rlmesh.parallel.resets import RESET_MASK, check_reset_mask, seeds_of


class MultiEndpoint:
    """Drives several endpoints together: it sends every request before it awaits any answer.

    A single environment is one sub-environment; those of a vector environment stay together. The
    methods are those of `EnvClient`.

    Args:
        addresses: The endpoints' addresses, in the order of their sub-environments.
        options: How to connect to each of them. Where `autoreset` is None, sub-environments reset
            themselves as the vector environments among the endpoints do, else at the step after the
            end.
        enough: With how many sub-environments no further address is needed; None: all addresses
            are used.

    Attributes:
        contracts: The endpoints' contracts.
        address: The endpoints' addresses.
        num_envs: The number of all sub-environments.
        mode: When sub-environments reset themselves.

    Raises:
        InvalidArgumentError: If the endpoints do not go together.
        RlmeshError: What `EnvClient` raises, for the first endpoint that does.
    """

    def __init__(
        self, addresses: Sequence[str], options: EnvConnectOptions, enough: int | None = None
    ) -> None:
        if not addresses:
            raise InvalidArgumentError("give one address or more, got an empty list")
        self._connect_options = options
        self._env_clients: list[EnvClient] = []
        self.address: list[str] = []
        with contextlib.ExitStack() as undo:
            env_clients: list[EnvClient] = []
            for address in addresses:
                if enough is not None and sum(one.num_envs for one in env_clients) >= enough:
                    break
                env_client = connect_env(address, options)
                undo.callback(env_client.close)
                env_clients.append(env_client)
            self._use(env_clients)
            undo.pop_all()

    def follow(self, addresses: Sequence[str]) -> bool:
        """Connects to addresses that are new, and leaves those that are not listed any more.

        Only before a reset of all: the sub-environments may be others and more or fewer then.

        Args:
            addresses: The addresses from now on, in the order of their sub-environments.

        Returns:
            Whether anything has changed.

        Raises:
            RlmeshError: What the constructor raises; everything is as before then.
        """
        if Counter(addresses) == Counter(self.address):
            return False
        kept: dict[str, list[EnvClient]] = {}
        for env_client in self._env_clients:
            kept.setdefault(env_client.address, []).append(env_client)
        with contextlib.ExitStack() as undo:
            env_clients: list[EnvClient] = []
            for address in addresses:
                if kept.get(address):
                    env_clients.append(kept[address].pop())
                    continue
                env_clients.append(connect_env(address, self._connect_options))
                undo.callback(env_clients[-1].close)
            self._use(env_clients)
            undo.pop_all()
        for left in kept.values():
            for env_client in left:
                env_client.close()
        return True

    def _use(self, env_clients: list[EnvClient]) -> None:
        """Drives these clients from now on, if they go together."""
        addresses = [env_client.address for env_client in env_clients]
        contracts = tuple(env_client.contract for env_client in env_clients)
        _check_alike(addresses, contracts)
        self.mode: AutoresetMode = _common_mode(env_clients)
        self.contracts: tuple[EnvContract, ...] = contracts
        # The same lists as ever: a replacement works on them.
        self._env_clients[:] = env_clients
        self.address[:] = addresses
        ends = np.cumsum([env_client.num_envs for env_client in env_clients]).tolist()
        self._ranges = list(pairwise([0, *ends]))
        self.num_envs: int = ends[-1]
        self._part = compile_part(contracts[0].action_space, self.num_envs)
        self._join = compile_join(contracts[0].observation_space)
        self._stack = compile_stack(contracts[0].observation_space)
        # The last observations: a reset with a mask may leave out an endpoint, and repeats its.
        self._last: list[Any] = []

    @property
    def contract(self) -> EnvContract:
        """The contract of the first endpoint."""
        return self.contracts[0]

    @property
    def transport(self) -> str:
        """The names of the transports in use."""
        return ", ".join(dict.fromkeys(env_client.transport for env_client in self._env_clients))

    @property
    def exposed(self) -> frozenset[str]:
        """The names of the attributes that every server exposes."""
        exposed = self._env_clients[0].exposed
        for env_client in self._env_clients[1:]:
            exposed &= env_client.exposed
        return exposed

    def reset(self, seed: Any, options: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the sub-environments."""
        seeds = self._seeds(seed)
        asked = self._options(options)
        with self._held():
            wanted = [
                index for index, (_, skipped) in enumerate(asked) if not (skipped and self._last)
            ]
            for index in wanted:
                self._env_clients[index].post_reset(seeds[index], asked[index][0])
            answers = self._taken(wanted, methodcaller("take_reset"))
        observations: list[Any] = list(self._last) or [None] * len(self._env_clients)
        infos: list[dict[str, Any]] = [{}] * len(self._env_clients)
        for index, (observation, info) in zip(wanted, answers, strict=True):
            observations[index], infos[index] = observation, info
        return self._together(observations), self._merged(infos)

    def step(self, actions: Any) -> Transition:
        """Steps every sub-environment."""
        encoded = [
            env_client.encode(part)
            for env_client, part in zip(self._env_clients, self._parts(actions), strict=True)
        ]
        with self._held():
            for env_client, one in zip(self._env_clients, encoded, strict=True):
                env_client.post_step(*one)
            made = self._taken(range(len(self._env_clients)), methodcaller("take_step"))
        return self._stepped(made)

    def _stepped(self, made: list[Transition]) -> Transition:
        observations, rewards, terminations, truncations, infos = zip(*made, strict=True)
        return (
            self._together(list(observations)),
            np.concatenate(rewards),
            np.concatenate(terminations),
            np.concatenate(truncations),
            self._merged(infos),
        )

    def begin_step(self, actions: Any) -> None:
        """Sends a step of every sub-environment, whose results `end_step` returns."""
        with contextlib.ExitStack() as undo:
            for env_client, part in zip(self._env_clients, self._parts(actions), strict=True):
                env_client.begin_step(part)
                undo.callback(env_client.end_step, None)
            undo.pop_all()

    def end_step(self, timeout: float | None) -> Transition:
        """Awaits the step that `begin_step` has sent."""
        deadline = None if timeout is None else time.monotonic() + timeout

        def take(env_client: EnvClient) -> Transition:
            rest = None if deadline is None else max(0.0, deadline - time.monotonic())
            return env_client.end_step(rest)

        return self._stepped(self._taken(range(len(self._env_clients)), take))

    def partial(self, batch_size: int) -> Partial:
        """What steps some of the sub-environments.

        Raises:
            InvalidArgumentError: If the endpoints cannot give batches of that size.
        """
        return PartialSteps(self, self._ranges, batch_size, self.contract.action_space, self._join)

    def begin_one(self, number: int, actions: Any) -> None:
        """Sends a step to one endpoint; see `partial_steps.Endpoints`."""
        self._env_clients[number].begin_step(actions)

    def end_one(self, number: int, timeout: float | None) -> Transition:
        """Awaits the step that `begin_one` has sent."""
        return self._env_clients[number].end_step(timeout)

    def step_many(self, actions: Iterable[Any]) -> Transitions:
        """Steps every sub-environment for one batch of actions after the other."""
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
            raise InvalidArgumentError("step_many needs one action or more, got none")
        return self._stacked(made)

    def step_counts(self) -> list[tuple[str, int]]:
        """The address of each endpoint, and how many steps its session has made."""
        return [(env_client.address, env_client.steps) for env_client in self._env_clients]

    def stats(self) -> dict[str, CallStats]:
        """What the calls of each kind have cost, of all endpoints together."""
        return added([env_client.stats() for env_client in self._env_clients])

    def render(self) -> Any:
        """What each sub-environment's `render` gives."""
        frames = [env_client.render() for env_client in self._env_clients]
        return None if all(frame is None for frame in frames) else _chained(frames)

    def get_attribute(self, name: str) -> Any:
        """Reads an attribute of every sub-environment."""
        self._check_exposed(name)
        return _chained([env_client.get_attribute(name) for env_client in self._env_clients])

    def set_attribute(self, name: str, value: Any) -> None:
        """Sets an attribute of every sub-environment."""
        self._check_exposed(name)
        parts = [value] * len(self._env_clients)
        if is_row(value):
            if len(value) != self.num_envs:
                raise InvalidArgumentError(
                    f"{name}: expected one value, or one for each of the {self.num_envs} "
                    f"sub-environments, got {len(value)}"
                )
            parts = [list(value[start:stop]) for start, stop in self._ranges]
        for env_client, part in zip(self._env_clients, parts, strict=True):
            env_client.set_attribute(name, part)

    def call_method(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Calls a method of every sub-environment."""
        self._check_exposed(name)
        return _chained(
            [env_client.call_method(name, arguments, keywords) for env_client in self._env_clients]
        )

    def _check_exposed(self, name: Any) -> None:
        """Refuses a name that one of the servers hides, before any server is asked."""
        if isinstance(name, str) and name not in self.exposed:
            raise unexposed(name, self.exposed)

    @property
    def closed(self) -> bool:
        """Whether the connections are closed."""
        return self._env_clients[0].closed

    @property
    def gave_way(self) -> bool:
        """Whether they were closed so that a newer client could have their places."""
        return self._env_clients[0].gave_way

    def give_way(self) -> None:
        """Closes, so that a newer client of this process can have the places."""
        for env_client in self._env_clients:
            env_client.give_way()

    def close(self) -> None:
        """Gives every environment back. May be called repeatedly."""
        for env_client in self._env_clients:
            env_client.close()

    @contextlib.contextmanager
    def _held(self) -> Generator[None]:
        with contextlib.ExitStack() as stack:
            for env_client in self._env_clients:
                env_client.hold()
                stack.callback(env_client.let_go)
            yield

    def _taken(self, indices: Iterable[int], take: Callable[[EnvClient], Any]) -> list[Any]:
        """Takes the answers of all, and only then raises the first failure among them."""
        answers: list[Any] = []
        failure: RlmeshError | None = None
        for index in indices:
            try:
                answers.append(take(self._env_clients[index]))
            except RlmeshError as error:
                self._locate(index, error)
                failure = failure or error
        if failure is not None:
            raise failure
        return answers

    def _locate(self, index: int, error: RlmeshError) -> None:
        """Adds to an error which endpoint raised it."""
        add_note(
            error,
            f"sub-environments from {self._ranges[index][0]} on, at "
            f"{self._env_clients[index].address}; the other endpoints have answered",
        )

    def _parts(self, actions: Any) -> list[Any]:
        try:
            return [self._part(actions, start, stop) for start, stop in self._ranges]
        except Violation as error:
            raise InvalidActionError(
                f"the action was refused: {one_line(str(error), LONGEST_TEXT)}. No "
                f"environment was called"
            ) from error

    def _together(self, observations: list[Any]) -> Any:
        if self.mode is AutoresetMode.DISABLED:
            # A copy, as the caller may write on what is returned.
            self._last = [self._join([observation]) for observation in observations]
        return self._join(observations)

    def _merged(self, infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for (start, stop), info in zip(self._ranges, infos, strict=True):
            if not info:
                continue
            for key, value in unmasked(info).items():
                merged.setdefault(key, value)
            for env_index in range(start, stop):
                add_sub_env(merged, info, env_index, self.num_envs, env_index - start)
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
            return [None] * len(self._env_clients)
        seeds = seeds_of(seed, self.num_envs)
        return [seeds[start:stop] for start, stop in self._ranges]

    def _options(self, options: Any) -> list[tuple[Any, bool]]:
        """The options for each endpoint, and whether it has no sub-environment to reset."""
        options = check_reset_mask(options, self.num_envs)
        if not is_mapping(options) or RESET_MASK not in options:
            return [(options, False)] * len(self._env_clients)
        mask = options[RESET_MASK]
        return [
            ({**options, RESET_MASK: mask[start:stop]}, not mask[start:stop].any())
            for start, stop in self._ranges
        ]


def _check_alike(addresses: Sequence[str], contracts: Sequence[EnvContract]) -> None:
    first = contracts[0]
    for address, contract in zip(addresses, contracts, strict=True):
        for name in ("observation_space", "action_space"):
            if getattr(contract, name) != getattr(first, name):
                raise InvalidArgumentError(
                    f"the endpoints of one vector environment have equal spaces, but the {name} of "
                    f"{address} is {one_line(str(getattr(contract, name)), LONGEST_TEXT)}, that of "
                    f"{addresses[0]} is {one_line(str(getattr(first, name)), LONGEST_TEXT)}"
                )
        if contract.delivers_nan != first.delivers_nan:
            does = {True: "delivers", False: "rejects"}
            raise InvalidArgumentError(
                f"the endpoints of one vector environment treat NaN alike, but {address} "
                f"{does[contract.delivers_nan]} it and {addresses[0]} {does[first.delivers_nan]} "
                f"it; serve all of them with the same nan="
            )
        if contract.batched_observation_space or contract.batched_action_space:
            raise InvalidArgumentError(
                f"the sub-environments of {address} differ in their bounds, so it cannot be one "
                f"of several endpoints; connect to it alone"
            )


def _common_mode(env_clients: Sequence[EnvClient]) -> AutoresetMode:
    modes = {env_client.mode for env_client in env_clients}
    if len(modes) > 1:
        modes_shown = ", ".join(
            f"{env_client.address}: {env_client.mode.value if env_client.mode else 'none'}"
            for env_client in env_clients
        )
        raise InvalidArgumentError(
            f"the endpoints reset their sub-environments at different times ({modes_shown}); "
            f"choose one mode with autoreset="
        )
    mode = modes.pop()
    if mode is None:
        raise InvalidArgumentError(
            "the endpoints do not say when their sub-environments reset themselves; choose a "
            "mode with autoreset="
        )
    return mode


def _chained(parts: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(one for part in parts for one in part)
