"""Reads a model and writes its contract."""

from __future__ import annotations

import inspect
from typing import Any

from rlmesh.codec.infos.packing import plain
from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.contract.carrying import why_model_too_large
from rlmesh.errors import InvalidModelError, UnsupportedSpaceError
from rlmesh.spaces import Space, from_gymnasium_space
from rlmesh_api.contract import Adaptation, AdapterStep, ModelContract

__all__ = [
    "CHUNK_METHODS",
    "METHODS",
    "UNKNOWN_MODEL",
    "name_taken",
    "read_model_contract",
    "takes_context",
]

UNKNOWN_MODEL = "UnknownModel-v1"
"""The id of a model that has none."""

CHUNK_METHODS = ("predict_chunk", "predict_chunk_batch")
"""The methods that give chunks."""

METHODS = ("predict", "predict_batch", *CHUNK_METHODS)
"""The methods of a model, of which it has one or more."""

# The plural is that of a method for batches, for which the singular is as good.
_NAMES = {
    "context": ("context", "contexts"),
    "prefix": ("prefix", "prefixes"),
    "delay": ("delay", "delays"),
}


def read_model_contract(
    model: object,
    name: str | None = None,
    *,
    observation_space: object = None,
    action_space: object = None,
    max_batch_size: int | None = None,
) -> ModelContract:
    """Writes the contract of a model, without calling any of its methods.

    Args:
        model: An object with `observation_space`, `action_space` and one of the methods, or a
            callable.
        name: Its name among those of its server; None: its `id`, or `UnknownModel-v1`.
        observation_space: The space of one observation, in place of the model's.
        action_space: The space of one action, likewise.
        max_batch_size: The most observations that it computes at once; None: as many as come.

    Raises:
        InvalidModelError: If it has not the form of a model.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
    """
    methods = _check_form(model)
    contract = ModelContract(
        id=name if name is not None else _id(model),
        observation_space=_space(model, "observation_space", observation_space),
        action_space=_space(model, "action_space", action_space),
        horizon=_horizon(model, methods),
        keeps_state=_keeps_state(model, methods),
        max_batch_size=max_batch_size,
        metadata=plain(_metadata(model)),
        adaptation=_adaptation(model),
        takes_prefix=_takes(model, methods, "prefix"),
        takes_delay=_takes(model, methods, "delay"),
    )
    reason = why_model_too_large(contract)
    if reason is not None:
        raise UnsupportedSpaceError(reason)
    return contract


def takes_context(method: object) -> str | None:
    """The name of the parameter by which a method takes its context; None where it takes none."""
    return name_taken(method, "context")


def name_taken(method: object, argument: str) -> str | None:
    """The name of the parameter by which a method takes an argument; None where it takes none.

    Args:
        method: The method.
        argument: `context`, `prefix` or `delay`.
    """
    try:
        parameters = inspect.signature(method).parameters  # type: ignore[arg-type] # what is no callable is refused by a TypeError
    except (TypeError, ValueError):
        return None
    return next((name for name in _NAMES[argument] if name in parameters), None)


def _check_form(model: object) -> list[str]:
    if inspect.isclass(model):
        raise InvalidModelError(
            f"model must be a model, got the class {model.__name__}; make an instance of it"
        )
    methods = [name for name in METHODS if callable(getattr(model, name, None))]
    if not methods and not callable(model):
        raise InvalidModelError(
            f"model must be a callable, or an object with one of the methods "
            f"{', '.join(METHODS)}, got {type(model).__name__} without any"
        )
    return methods


def _id(model: object) -> str:
    name = getattr(model, "id", None)
    return name if isinstance(name, str) and name else UNKNOWN_MODEL


def _space(model: object, name: str, given: object) -> Space:
    space = getattr(model, name, None) if given is None else given
    if space is None:
        raise InvalidModelError(
            f"{type(model).__name__} has no {name}; give the model one, or pass {name}= with the "
            f"space of one step"
        )
    return from_gymnasium_space(space)


def _horizon(model: object, methods: list[str]) -> int:
    horizon: Any = getattr(model, "horizon", None)
    gives_chunks = any(name in methods for name in CHUNK_METHODS)
    if horizon is None:
        if gives_chunks:
            raise InvalidModelError(
                f"{type(model).__name__} gives chunks and has no horizon; set its attribute "
                f"horizon to the number of actions of a chunk"
            )
        return 1
    if isinstance(horizon, bool) or not isinstance(horizon, int) or not 1 <= horizon < 1 << 32:
        raise InvalidModelError(
            f"the horizon of {type(model).__name__} must be a number of actions from 1, got "
            f"{horizon!r:.80}"
        )
    if horizon > 1 and not gives_chunks:
        raise InvalidModelError(
            f"{type(model).__name__} has the horizon {horizon} and gives no chunks; give it "
            f"predict_chunk or predict_chunk_batch, or the horizon 1"
        )
    return horizon


def _keeps_state(model: object, methods: list[str]) -> bool:
    """What the model says, else whether it could: it is reset, or takes a context."""
    declared: Any = getattr(model, "keeps_state", None)
    if declared is not None:
        if not isinstance(declared, bool):
            raise InvalidModelError(
                f"keeps_state of {type(model).__name__} must be True or False, got {declared!r:.80}"
            )
        return declared
    calls = [getattr(model, name) for name in methods] or [model]
    return callable(getattr(model, "reset", None)) or any(map(takes_context, calls))


def _takes(model: object, methods: list[str], argument: str) -> bool:
    """Whether a method that gives chunks takes an argument."""
    chunks = [getattr(model, name) for name in methods if name in CHUNK_METHODS]
    return any(name_taken(method, argument) is not None for method in chunks)


def _metadata(model: object) -> dict[str, Any]:
    metadata = getattr(model, "metadata", None)
    if metadata is None:
        return {}
    if not is_mapping(metadata):
        raise InvalidModelError(
            f"metadata of {type(model).__name__} must be a dict, got {type(metadata).__name__}"
        )
    return dict(metadata)


def _adaptation(model: object) -> Adaptation | None:
    """The steps that the model brings: its `adaptation`, as one or as a sequence of steps."""
    given: Any = getattr(model, "adaptation", None)
    if given is None or isinstance(given, Adaptation):
        return given
    if not is_row(given) or not all(isinstance(step, AdapterStep) for step in given):
        raise InvalidModelError(
            f"adaptation of {type(model).__name__} must be steps that rlmesh.adapters makes, got "
            f"{given!r:.80}"
        )
    return Adaptation(steps=tuple(given))
