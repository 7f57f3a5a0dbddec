"""Which steps of a `RemoteModel` its worker applies, and what a worker takes of strangers."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Sequence

from rlmesh.adapters.adapter import Adapter, Side
from rlmesh.adapters.boxes import limited
from rlmesh.adapters.compiling import OPERATIONS
from rlmesh.adapters.wire_bytes import bytes_of
from rlmesh.errors import ContractMismatchError
from rlmesh_api.contract import AdapterFlow, AdapterStep, Space

__all__ = ["MOST_STEPS", "Spaces", "applied_here", "place", "strangers_adapter"]

MOST_STEPS = 64
"""How many steps of one flow a worker applies in a session."""

Spaces = tuple[Space, Space]
"""A space of observations and one of actions."""

# A session may be lost, and what its steps have seen with it.
_REMEMBERS = frozenset({"frame_stack"})
_NEEDS_PILLOW = frozenset({"resize", "color"})
_LEAST_ROOM = 1 << 20
_GROWTH = 4


def applied_here() -> list[str]:
    """The names of the steps that a worker in this process applies for its clients, sorted."""
    names = OPERATIONS.keys() - _REMEMBERS
    return sorted(names if importlib.util.find_spec("PIL") else names - _NEEDS_PILLOW)


def strangers_adapter(model: Spaces, crossing: Spaces, steps: Sequence[AdapterStep]) -> Adapter:
    """An adapter of steps that come from a network.

    Args:
        model: The spaces of the model.
        crossing: The spaces of what the client sends and is sent, which are compared with what is
            left after the steps.
        steps: The steps.

    Raises:
        ContractMismatchError: If a step cannot be applied, something is left to bridge, or it would
            take too much; nothing large was made.
    """
    for name, own, other in zip(("observation", "action"), model, crossing, strict=True):
        if bytes_of(other) > bytes_of(own):
            raise ContractMismatchError(
                f"$.{name}_space: expected values of at most {bytes_of(own)} bytes, as the model "
                f"has, got {bytes_of(other)}"
            )
    counts = [sum(each.on is flow for each in steps) for flow in {each.on for each in steps}]
    if max(counts, default=0) > MOST_STEPS:
        raise ContractMismatchError(
            f"expected at most {MOST_STEPS} steps for observations and as many for actions, got "
            f"{len(steps)}"
        )
    for each in steps:
        if each.name in _REMEMBERS:
            raise ContractMismatchError(f"the step {each.name} is for clients alone")
    most = max(_LEAST_ROOM, _GROWTH * max(map(bytes_of, model)))
    with limited(most):
        return Adapter(model, crossing, steps)


def place(adapter: Adapter, names: Collection[str]) -> tuple[Adapter, Adapter] | None:
    """Splits an adapter where the least crosses, as far as its worker goes along.

    Args:
        adapter: The adapter, whose `sides` are set.
        names: The names of the steps that the worker applies.

    Returns:
        The adapter of the client and that of the worker; None where the client applies all.
    """
    client, worker = adapter.halves(names)
    model = (adapter.model_observation_space, adapter.model_action_space)
    crossing = (worker.env_observation_space, worker.env_action_space)
    observing, acting = AdapterFlow.OBSERVATION, AdapterFlow.ACTION
    # Those of observations that come last, and those of actions that come first.
    after, before = (len(_numbers(worker, flow)) for flow in (observing, acting))
    observed, acted = _numbers(adapter, observing), _numbers(adapter, acting)
    theirs = {*observed[len(observed) - after :], *acted[:before]}
    try:
        strangers_adapter(model, crossing, worker.steps)
    except ContractMismatchError:
        # The worker would refuse them.
        theirs.clear()
    numbers = range(len(adapter.steps))
    sides: list[Side] = ["worker" if number in theirs else "client" for number in numbers]
    adapter.sides = tuple(sides)
    return (client, worker) if theirs else None


def _numbers(adapter: Adapter, flow: AdapterFlow) -> list[int]:
    """The places of the steps of a flow."""
    return [number for number, step in enumerate(adapter.steps) if step.on is flow]
