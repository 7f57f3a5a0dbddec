"""The two spaces of what is bridged, and the steps that a model brings."""

from __future__ import annotations

from typing import Any

from rlmesh.codec.infos.type_guards import is_row
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.spaces.from_gymnasium import from_gymnasium_space
from rlmesh_api.contract import Adaptation, AdapterStep, Space

__all__ = ["read_steps", "steps_of", "two_spaces"]


def two_spaces(what: str, given: Any) -> tuple[Space, Space]:
    """The space of one observation and that of one action.

    Args:
        what: The argument's name, for messages.
        given: A contract; or a model, an environment or a client, which may have one.

    Raises:
        ArgumentTypeError: If it has no such spaces.
        UnsupportedSpaceError: If RLMesh does not carry one.
    """
    contract = _contract(given)
    spaces: list[Space] = []
    for name in ("observation_space", "action_space"):
        # Of a vector environment the plain name is the batched space.
        space = getattr(contract, f"single_{name}", None) or getattr(contract, name, None)
        if space is None:
            raise ArgumentTypeError(
                f"{what} must be a contract, or an object with observation_space and action_space, "
                f"got {type(given).__name__}"
            )
        spaces.append(from_gymnasium_space(space))
    observation, action = spaces
    return observation, action


def steps_of(model: Any) -> Adaptation:
    """The steps that a model's contract has; none where it has no such field."""
    adaptation = getattr(_contract(model), "adaptation", None)
    return adaptation if isinstance(adaptation, Adaptation) else Adaptation(steps=())


def read_steps(given: Any) -> tuple[AdapterStep, ...]:
    """The steps that a user gives, as an `Adaptation` or as a sequence.

    Raises:
        ArgumentTypeError: If they are neither.
        InvalidArgumentError: If a step has another name than its operation.
    """
    if isinstance(given, Adaptation):
        given = given.steps
    if not is_row(given):
        raise ArgumentTypeError(
            f"steps must be a sequence of the steps that rlmesh.adapters makes, got "
            f"{type(given).__name__}"
        )
    for number, each in enumerate(given, 1):
        if not isinstance(each, AdapterStep):
            raise ArgumentTypeError(
                f"steps must be made by the functions of rlmesh.adapters, got one "
                f"{type(each).__name__}"
            )
        if each.name != each.operation.kind:
            raise InvalidArgumentError(
                f"step {number} is named {each.name!r} and its operation is "
                f"{each.operation.kind!r}; make steps with the functions of rlmesh.adapters"
            )
    return tuple(given)


def _contract(given: Any) -> Any:
    if getattr(given, "adapter", None) is not None:
        # A model behind an adapter has other spaces than its contract says.
        return given
    for name in ("model_contract", "env_contract"):
        contract = getattr(given, name, None)
        if contract is not None:
            return contract
    return given
