"""The types of values that hold no other values, one small function for each kind of space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from rlmesh_api.contract import (
    BoxSpace,
    DiscreteSpace,
    Dtype,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TextSpace,
)

Role: TypeAlias = Literal["observation", "action"]
"""What a client receives, or what it sends."""

# The most values for which an action's type lists them.
_LISTED = 16


def leaf_type(space: Space, role: Role, num_envs: int | None) -> str:
    """The type of a space's values, as an annotation.

    What a client receives has exactly the declared dtype. What it sends may be wider where the
    serving side takes more without loss.

    Args:
        space: A space that is no container.
        role: Whether the client receives or sends the values.
        num_envs: The number of sub-environments of a vector environment; None for a single one.
    """
    types = _VECTOR if num_envs else _SINGLE
    return types[space.kind](space, role)


def _array(space: Any, role: Role) -> str:
    return f"npt.NDArray[{_scalar(space.dtype)}]"


def _bits(space: Any, role: Role) -> str:
    return f"npt.NDArray[{_scalar(Dtype.INT8)}]"


def _number(space: Any, role: Role) -> str:
    if role == "observation":
        return _scalar(space.dtype)
    if space.n > _LISTED:
        return "int | np.integer[Any]"
    values = range(space.start, space.start + space.n)
    return f"Literal[{', '.join(map(str, values))}] | np.integer[Any]"


def _numbers(space: Any, role: Role) -> str:
    return _array(space, role) if role == "observation" else "npt.NDArray[np.integer[Any]]"


def _text(space: Any, role: Role) -> str:
    return "str"


def _texts(space: Any, role: Role) -> str:
    return "tuple[str, ...]"


def _scalar(dtype: Dtype) -> str:
    return "np.bool_" if dtype is Dtype.BOOL else f"np.{dtype.value}"


_Types: TypeAlias = dict[str, Callable[[Any, Role], str]]

_SINGLE: _Types = {
    BoxSpace.kind: _array,
    DiscreteSpace.kind: _number,
    MultiBinarySpace.kind: _bits,
    MultiDiscreteSpace.kind: _array,
    TextSpace.kind: _text,
}
_VECTOR: _Types = _SINGLE | {DiscreteSpace.kind: _numbers, TextSpace.kind: _texts}
