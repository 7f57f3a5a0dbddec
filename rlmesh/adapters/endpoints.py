"""The two spaces of what is bridged, and the steps that a model brings."""

from __future__ import annotations

from typing import Any

from rlmesh.errors import ArgumentTypeError
from rlmesh.spaces.from_gymnasium import from_gymnasium_space
from rlmesh_api.contract import Adaptation, Space

__all__ = ["steps_of", "two_spaces"]


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


def _contract(given: Any) -> Any:
    for name in ("model_contract", "env_contract"):
        contract = getattr(given, name, None)
        if contract is not None:
            return contract
    return given
