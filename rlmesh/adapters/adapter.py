"""Adapts a model to an environment, by steps that are checked when the adapter is made."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any, Literal

from rlmesh.adapters.adapted_model import AdaptedModel
from rlmesh.adapters.boxes import Array
from rlmesh.adapters.compiling import CompiledStep, StepError, compile_steps
from rlmesh.adapters.endpoints import read_steps, steps_of, two_spaces
from rlmesh.adapters.faults import ValueFault
from rlmesh.adapters.histories import History
from rlmesh.adapters.reading import compile_read
from rlmesh.adapters.table import table
from rlmesh.adapters.wire_bytes import bytes_of
from rlmesh.codec.slab.violations import Violation
from rlmesh.contract.differences import ContractDifference
from rlmesh.contract.space_comparison import compare_spaces
from rlmesh.errors import (
    ContractMismatchError,
    InvalidActionError,
    InvalidArgumentError,
    InvalidObservationError,
)
from rlmesh.spaces.paths import ROOT
from rlmesh_api.contract import Adaptation, AdapterFlow, AdapterStep, Space

__all__ = ["Adapter", "Side", "adapt", "line_of"]

Side = Literal["client", "worker"]
"""Where a step is applied."""

_OBSERVATION, _ACTION = f"{ROOT}.observation_space", f"{ROOT}.action_space"
# What no value of a space depends on.
_HARMLESS = {"order of keys", "keep_order", "bounded_below", "bounded_above", "flat"}
# How many differences a message lists; `differences` has all.
_SHOWN = 50


class Adapter:
    """What brings the observations of an environment to a model, and its actions back.

    `rlmesh.adapt` makes it. It keeps nothing between its calls, so any thread may call it; what an
    episode has seen is kept in a `History`.

    Args:
        model: The observation space and the action space of the model.
        env: Those of the environment.
        steps: The steps, in order.

    Attributes:
        steps: The steps, in the order in which they were given.
        adaptation: The same as data, with `to_json`, `to_proto` and a `fingerprint`.
        env_observation_space: The space of the observations that it takes.
        env_action_space: The space of the actions that the environment takes.
        observation_space: The space of the observations that it gives to the model.
        action_space: The space of the actions that it gives to the environment.
        model_observation_space: The space of the observations that the model takes.
        model_action_space: The space of the actions that the model gives.
        remembers: Whether a step puts what was seen before into an observation, so that
            `observation` needs a history.
        adapts_actions: Whether a step adapts actions. No step turns those of the environment back
            into those of the model, so then no prefix of a chunk can be offered.
        differences: What is narrower than it might be, and breaks nothing: bounds that are never
            reached, for instance those of a gripper whose range was not changed.
        sides: Where each step is applied, `client` or `worker`, in the order of `steps`, where this
            is the adapter of a `RemoteModel`; else None.

    Raises:
        ContractMismatchError: If a step cannot be applied, or something is left to bridge.
    """

    def __init__(
        self, model: tuple[Space, Space], env: tuple[Space, Space], steps: Sequence[AdapterStep]
    ) -> None:
        self.steps: tuple[AdapterStep, ...] = tuple(steps)
        self.adaptation: Adaptation = Adaptation(steps=self.steps)
        self.model_observation_space: Space = model[0]
        self.model_action_space: Space = model[1]
        self.env_observation_space: Space = env[0]
        self.env_action_space: Space = env[1]
        numbered = list(enumerate(self.steps, 1))
        found: list[ContractDifference] = []
        self._observing = _compiled(
            [pair for pair in numbered if pair[1].on is AdapterFlow.OBSERVATION],
            self.env_observation_space,
            self.model_observation_space,
            _OBSERVATION,
            found,
        )
        self._acting = _compiled(
            [pair for pair in numbered if pair[1].on is AdapterFlow.ACTION],
            self.model_action_space,
            self.env_action_space,
            _ACTION,
            found,
        )
        if any(each.breaking for each in found):
            raise _mismatch([each for each in found if each.breaking])
        self.differences: tuple[ContractDifference, ...] = tuple(found)
        self.sides: tuple[Side, ...] | None = None
        self.remembers: bool = any(step.recall is not None for step in self._observing)
        self.adapts_actions: bool = bool(self._acting)
        self.observation_space: Space = _last(self._observing, self.env_observation_space)
        self.action_space: Space = _last(self._acting, self.model_action_space)
        self._read_observation = compile_read(self.env_observation_space)
        self._read_action = compile_read(self.model_action_space)
        # They give what the model and the environment call the same, in the order of their keys.
        self._give_observation = compile_read(self.model_observation_space)
        self._give_action = compile_read(self.env_action_space)

    def history(self) -> History:
        """A history that has seen nothing: the beginning of an episode."""
        return History(self)

    def observation(self, value: Any, history: History | None = None) -> Any:
        """Adapts an observation of the environment.

        Args:
            value: The observation, which stays as it is. What no step changes is not copied.
            history: What the adapter has seen of the episode, of its own `history()`. It has seen
                this one too afterwards, unless the call raises. None where the adapter does not
                remember.

        Returns:
            The observation for the model, with the shapes and the dtypes of its space.

        Raises:
            InvalidObservationError: If the environment's space does not have such values, or a step
                cannot change this one; the message names the place.
            InvalidArgumentError: If the adapter remembers and gets no history, or that of another.
        """
        if self.remembers or history is not None:
            self._check_history(history)
        frames: dict[int, tuple[Array, ...]] = {} if history is None else dict(history.frames)
        try:
            changed = _changed(self._read_observation(value), self._observing, frames)
            given = self._give_observation(changed)
        except (Violation, ValueFault) as error:
            raise InvalidObservationError(f"the observation cannot be adapted: {error}") from error
        if history is not None:
            history.remember(frames)
        return given

    def action(self, value: Any) -> Any:
        """Adapts an action of the model.

        Args:
            value: The action, which stays as it is. What no step changes is not copied.

        Returns:
            The action for the environment, with the shapes and the dtypes of its space.

        Raises:
            InvalidActionError: If the model's space does not have such values, or a step cannot
                change this one; the message names the place.
        """
        try:
            return self._give_action(_changed(self._read_action(value), self._acting, {}))
        except (Violation, ValueFault) as error:
            raise InvalidActionError(f"the action cannot be adapted: {error}") from error

    def halves(self, names: Collection[str] | None = None) -> tuple[Adapter, Adapter]:
        """Splits the adapter where the least crosses a network.

        The steps before that place of observations, and after that of actions, are for the client;
        the others stand beside the model. So an image is made smaller before it is sent, and one of
        uint8 becomes one of floats afterwards. Of places where as much crosses it is the one at
        which the client has the most steps.

        Args:
            names: The names of the steps that can stand beside the model. None: all.

        Returns:
            The adapter of the client and that of the model; one after the other they do what this
            one does.

        Raises:
            ContractMismatchError: Never: what fits as a whole fits at every place.
        """
        # Away from the model, each with the space of what crosses where the model has it.
        before = [self.env_observation_space, *(step.space for step in self._observing[:-1])]
        observing = [*zip(self._observing, before, strict=False)][::-1]
        acting = [(step, step.space) for step in self._acting]
        seeing = _beside(observing, self.model_observation_space, names)
        doing = _beside(acting, self.model_action_space, names)
        numbers = {step.number for step, _ in (*observing[:seeing], *acting[:doing])}
        middle = (
            observing[seeing - 1][1] if seeing else self.model_observation_space,
            acting[doing - 1][1] if doing else self.model_action_space,
        )
        env = (self.env_observation_space, self.env_action_space)
        model = (self.model_observation_space, self.model_action_space)
        numbered = list(enumerate(self.steps, 1))
        return (
            Adapter(middle, env, [step for number, step in numbered if number not in numbers]),
            Adapter(model, middle, [step for number, step in numbered if number in numbers]),
        )

    def wrap(self, model: Any) -> Any:
        """A model for this environment: it adapts what goes to a model and what comes from it.

        Args:
            model: An object with `predict`, `predict_chunk`, `predict_batch` or
                `predict_chunk_batch`: a model, or a client of one.

        Returns:
            An object with the same methods and with the spaces of the environment. Every other
            attribute is that of the model.
        """
        return AdaptedModel(self, model)

    def _check_history(self, history: object) -> None:
        if not isinstance(history, History) or not history.is_of(self):
            raise InvalidArgumentError(
                f"observation needs a history that this adapter has made, for its step frame_stack "
                f"needs the frames before this one, got {history!r:.80}. Make one with history() "
                f"at the beginning of each episode, or use wrap(model), which does"
                if self.remembers
                else f"history must be one that this adapter has made, got {history!r:.80}"
            )

    def explain(self) -> None:
        """Prints what each step does, as a table; `str` of the adapter returns it."""
        sys.stdout.write(f"{self}\n")

    def __str__(self) -> str:
        """The table of `explain`."""
        tables = [
            table(
                "observation",
                self.env_observation_space,
                self._observing,
                ("env", "model"),
                self.sides,
            ),
            table("action", self.model_action_space, self._acting, ("model", "env"), self.sides),
        ]
        if self.differences:
            tables.append("\n".join(["what is never reached:", *map(line_of, self.differences)]))
        return "\n\n".join(tables)

    def __repr__(self) -> str:
        """How many steps it has, and for which values."""
        counts = f"{len(self._observing)} for observations, {len(self._acting)} for actions"
        return f"<Adapter of {len(self.steps)} steps: {counts}>"


def adapt(model_contract: Any, env_contract: Any, steps: Any = None) -> Adapter:
    """Bridges a model and an environment by steps, and checks that nothing is left to bridge.

    Args:
        model_contract: The contract of the model; or an object with `observation_space` and
            `action_space`, those of one step.
        env_contract: The contract of the environment, or such an object: also an environment, a
            client, or a vector environment, of which one sub-environment counts.
        steps: The steps, in order, as the functions of `rlmesh.adapters` make them, or an
            `Adaptation`. None: those that the model's contract has, or none.

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a step has another name than its operation.
        UnsupportedSpaceError: If RLMesh does not carry a space.
        ContractMismatchError: If a step cannot be applied, or if after all of them the model does
            not take every observation of the environment or the environment every action of the
            model. `differences` has everything that was found.

    Example:
        >>> import gymnasium, rlmesh
        >>> from rlmesh.adapters import take
        >>> env = gymnasium.make("CartPole-v1")
        >>> class Balance:
        ...     observation_space = gymnasium.spaces.Box(-1, 1, (2,))
        ...     action_space = env.action_space
        >>> rlmesh.adapt(Balance, env, [take([2, 3])])
        Traceback (most recent call last):
        ...
        rlmesh.errors.ContractMismatchError: the model and the environment do not fit: ...
    """
    model, env = (
        two_spaces("model_contract", model_contract),
        two_spaces("env_contract", env_contract),
    )
    given = steps_of(model_contract) if steps is None else steps
    return Adapter(model, env, read_steps(given))


def _compiled(
    steps: list[tuple[int, AdapterStep]],
    space: Space,
    wanted: Space,
    root: str,
    found: list[ContractDifference],
) -> list[CompiledStep]:
    try:
        compiled = compile_steps(steps, space, root)
    except StepError as error:
        found.append(error.difference)
        return []
    # One that takes a value has the part of a client that receives it: more is too much for it. The
    # order of keys is that of the taker.
    found.extend(
        difference
        for difference in compare_spaces(root, wanted, _last(compiled, space), "observation")
        if difference.aspect not in _HARMLESS
    )
    return compiled


def _last(compiled: Sequence[CompiledStep], space: Space) -> Space:
    return compiled[-1].space if compiled else space


def _changed(
    value: Any, steps: Sequence[CompiledStep], frames: dict[int, tuple[Array, ...]]
) -> Any:
    for step in steps:
        try:
            if step.recall is None:
                value = step.change(value)
            else:
                past = frames.get(step.number, ())
                value, frames[step.number] = step.recall(value, past)
        except ValueFault as error:
            raise ValueFault(
                f"{step.place}: step {step.number}, {step.step.name}: {error}"
            ) from error
    return value


def _beside(
    steps: Sequence[tuple[CompiledStep, Space]], space: Space, names: Collection[str] | None
) -> int:
    """How many steps stand beside a model.

    Args:
        steps: The steps of one flow, that next to the model first, and the space of what crosses
            where the model has it and those before it.
        space: The space of what crosses where the model has none.
        names: The names of those that may stand there; None: all.
    """
    crossing = [bytes_of(space)]
    for step, crosses in steps:
        if names is not None and step.step.name not in names:
            break
        crossing.append(bytes_of(crosses))
    return crossing.index(min(crossing))


def _mismatch(faults: list[ContractDifference]) -> ContractMismatchError:
    lines = [line_of(fault) for fault in faults[:_SHOWN]]
    if len(faults) > _SHOWN:
        lines.append(f"and {len(faults) - _SHOWN} more")
    return ContractMismatchError(
        f"the model and the environment do not fit: {'; '.join(lines)}. Change the steps, or add "
        f"what is missing",
        differences=tuple(faults),
    )


def line_of(fault: ContractDifference) -> str:
    """What does not fit, in one line."""
    if fault.aspect.startswith("step "):
        return f"{fault.place}: {fault.aspect}: expected {fault.old}, got {fault.new}"
    taker = "model" if fault.place.startswith(_OBSERVATION) else "environment"
    return f"{fault.place}: {fault.aspect}: the {taker} takes {fault.old}, and gets {fault.new}"
