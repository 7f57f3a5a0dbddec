"""What a contract differs in from an older one, and whether a client of the older feels it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.contract.cost import cost_of, why_too_costly
from rlmesh.contract.differences import ABSENT, ContractDifference, shown
from rlmesh.contract.reading import UNKNOWN_ID
from rlmesh.contract.space_comparison import Role, compare_spaces
from rlmesh.errors import ArgumentTypeError
from rlmesh.spaces import from_gymnasium_space
from rlmesh.spaces.batching import batched_gymnasium_space
from rlmesh.spaces.paths import ROOT, child_place
from rlmesh_api.contract import (
    BoxSpace,
    DictSpace,
    EnvContract,
    EnvSpec,
    ModelContract,
    Space,
    TupleSpace,
)

__all__ = ["compare_contracts"]

_SPACES: Mapping[str, Role] = {"observation_space": "observation", "action_space": "action"}
_BATCHED: Mapping[str, Role] = {
    "batched_observation_space": "observation",
    "batched_action_space": "action",
}


def compare_contracts(
    old: EnvContract | ModelContract, new: EnvContract | ModelContract
) -> tuple[ContractDifference, ...]:
    """What a contract differs in from an older one.

    Both are contracts of environments or both of models. A difference is breaking where a client
    that was written or trained for the older contract may meet what the older one excluded, or have
    refused what it allowed.

    Args:
        old: The contract that a client relies on.
        new: The contract of the endpoint that the client drives.

    Returns:
        The differences in the order of a contract's fields; none for equal contracts.

    Raises:
        ArgumentTypeError: If one is the contract of an environment and the other of a model.
    """
    if isinstance(old, ModelContract) and isinstance(new, ModelContract):
        return tuple(_of_models(old, new))
    if isinstance(old, EnvContract) and isinstance(new, EnvContract):
        return tuple(_differences(old, new))
    raise ArgumentTypeError(
        f"two contracts of environments can be compared, or two of models, got "
        f"{type(old).__name__} and {type(new).__name__}; RemoteModel(address, env=...) compares a "
        f"model with the environment that it is to drive"
    )


def _of_models(old: ModelContract, new: ModelContract) -> Iterator[ContractDifference]:
    yield from _difference(_place("id"), "id", old.id, new.id, breaking=False)
    # A client of a model sends observations and receives actions.
    observed, acted = (
        (old.observation_space, new.observation_space),
        (old.action_space, new.action_space),
    )
    yield from compare_spaces(_place("observation_space"), *observed, "action")
    yield from compare_spaces(_place("action_space"), *acted, "observation")
    yield from _field("horizon", old.horizon, new.horizon, breaking=True)
    yield from _field("keeps_state", old.keeps_state, new.keeps_state, breaking=True)
    yield from _field("max_batch_size", old.max_batch_size, new.max_batch_size, breaking=False)
    yield from _mapping("metadata", old.metadata, new.metadata)
    # What a client may adapt by; the spaces above are what the model itself takes and gives.
    steps = (model.adaptation and model.adaptation.to_json() for model in (old, new))
    yield from _field("adaptation", *steps, breaking=False)
    # Offers of a client, which a model takes or leaves.
    for name in ("takes_prefix", "takes_delay"):
        yield from _field(name, getattr(old, name), getattr(new, name), breaking=False)


def _differences(old: EnvContract, new: EnvContract) -> Iterator[ContractDifference]:
    yield from _id(_place("id"), old.id, new.id)
    yield from _field("vector", old.vector, new.vector, breaking=True)
    for name, role in _SPACES.items():
        yield from compare_spaces(_place(name), getattr(old, name), getattr(new, name), role)
    yield from _field("num_envs", old.num_envs, new.num_envs, breaking=True)
    modes = (contract.autoreset_mode and contract.autoreset_mode.value for contract in (old, new))
    yield from _field("autoreset_mode", *modes, breaking=True)
    # An environment without frames had no user of them.
    rendered = old.render_mode is not None
    yield from _field("render_mode", old.render_mode, new.render_mode, breaking=rendered)
    yield from _mapping("metadata", old.metadata, new.metadata)
    yield from _spec(old.spec, new.spec)
    for name, role in _BATCHED.items():
        yield from _batched(name, old, new, role)
    # One that begins gives observations that were excluded; one that ends refuses such actions.
    concerned = new.observation_space if new.delivers_nan else old.action_space
    yield from _field(
        "delivers_nan", old.delivers_nan, new.delivers_nan, breaking=_may_be_nan(concerned)
    )


def _may_be_nan(space: Space) -> bool:
    if isinstance(space, TupleSpace):
        return any(map(_may_be_nan, space.spaces))
    if isinstance(space, DictSpace):
        return any(_may_be_nan(entry.space) for entry in space.entries)
    return isinstance(space, BoxSpace) and space.dtype.value.startswith("float")


def _id(place: str, old: str, new: str) -> Iterator[ContractDifference]:
    # An environment gets another id when results before and after cannot be compared; one that
    # was not registered may get its first.
    return _difference(place, "id", old, new, breaking=old != UNKNOWN_ID)


def _spec(old: EnvSpec | None, new: EnvSpec | None) -> Iterator[ContractDifference]:
    if old is None or new is None:
        ids = (spec and spec.id for spec in (old, new))
        yield from _field("spec", *ids, breaking=old is not None)
        return
    yield from _id(_place("spec.id"), old.id, new.id)
    for name in ("reward_threshold", "max_episode_steps", "disable_env_checker"):
        yield from _field(f"spec.{name}", getattr(old, name), getattr(new, name), breaking=False)
    for name in ("nondeterministic", "order_enforce"):
        after = getattr(new, name)
        yield from _field(f"spec.{name}", getattr(old, name), after, breaking=after)
    yield from _mapping("spec.kwargs", old.kwargs, new.kwargs)


def _batched(
    name: str, old: EnvContract, new: EnvContract, role: Role
) -> Iterator[ContractDifference]:
    before, after = getattr(old, name), getattr(new, name)
    num_envs = [(contract.vector, contract.num_envs) for contract in (old, new)]
    # Where the sub-environments are others, that has been reported.
    if (before is None and after is None) or num_envs[0] != num_envs[1]:
        return
    states = ("absent" if space is None else "declared" for space in (before, after))
    if None in (before, after) and any(map(_is_too_costly, (old, new))):
        # What would have to be made to compare them is more than a client makes.
        yield from _field(name, *states, breaking=True)
        return
    found = compare_spaces(_place(name), _all_sub_envs(old, name), _all_sub_envs(new, name), role)
    yield from found or _field(name, *states, breaking=False)


def _is_too_costly(contract: EnvContract) -> bool:
    return why_too_costly(cost_of(contract, as_vector=True)) is not None


def _all_sub_envs(contract: EnvContract, name: str) -> Space:
    declared: Space | None = getattr(contract, name)
    if declared is not None:
        return declared
    single = getattr(contract, name.removeprefix("batched_"))
    return from_gymnasium_space(batched_gymnasium_space(single, contract.num_envs))


def _mapping(
    field: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[ContractDifference]:
    for key in {**old, **new}:
        place = child_place(_place(field), key)
        values = (mapping.get(key, ABSENT) for mapping in (old, new))
        yield from _difference(place, field, *values, breaking=False)


def _field(field: str, old: object, new: object, *, breaking: bool) -> Iterator[ContractDifference]:
    return _difference(_place(field), field, old, new, breaking=breaking)


def _difference(
    place: str, aspect: str, old: object, new: object, *, breaking: bool
) -> Iterator[ContractDifference]:
    if not _same(old, new):
        yield ContractDifference(
            place=place, aspect=aspect, old=shown(old), new=shown(new), breaking=breaking
        )


def _place(field: str) -> str:
    return f"{ROOT}.{field}"


def _same(old: Any, new: Any) -> bool:
    """Whether two plain values are the same; 1, 1.0 and True are not."""
    if type(old) is not type(new):
        return False
    if is_mapping(old):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if is_row(old):
        return len(old) == len(new) and all(map(_same, old, new))
    return repr(old) == repr(new)
