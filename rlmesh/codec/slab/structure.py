"""Takes a value apart into the values of its leaves, and puts it together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeAlias, cast

from rlmesh.codec.infos.type_guards import is_array, is_mapping, is_row
from rlmesh.codec.slab.leaves import LeafSpace, children
from rlmesh.codec.slab.violations import Violation, shown, typename
from rlmesh.spaces.paths import ROOT
from rlmesh_api.contract import DictSpace, Space, TupleSpace

__all__ = ["Assemble", "Flatten", "compile_assemble", "compile_flatten"]

Flatten: TypeAlias = Callable[[Any], Sequence[Any]]
"""The values of the leaves in declared order; raises `Violation`."""

Assemble: TypeAlias = Callable[[Iterable[Any]], Any]
"""The value whose leaves these are."""

_Spread: TypeAlias = Callable[[list[Any], Any], None]
_Gather: TypeAlias = Callable[[Iterator[Any]], Any]

_MANY = 8


def compile_flatten(space: Space) -> Flatten:
    """Compiles what takes values of a space apart."""
    if isinstance(space, LeafSpace):
        return lambda value: (value,)
    if _is_flat(space):
        return _compile_open(cast("TupleSpace | DictSpace", space), ROOT)
    spread = _compile_spread(space, ROOT)

    def flatten(value: Any) -> list[Any]:
        parts: list[Any] = []
        spread(parts, value)
        return parts

    return flatten


def compile_assemble(space: Space) -> Assemble:
    """Compiles what puts values of a space together: dicts in declared order, and tuples."""
    if _is_flat(space):
        if isinstance(space, DictSpace):
            keys = tuple(entry.key for entry in space.entries)
            return lambda parts: dict(zip(keys, parts))  # noqa: B905 - as many; asking is slow
        if isinstance(space, TupleSpace):
            return tuple
    gather = _compile_gather(space)
    return lambda parts: gather(iter(parts))


def _is_flat(space: Space) -> bool:
    return isinstance(space, TupleSpace | DictSpace) and all(
        isinstance(child, LeafSpace) for _, child in children(space, ROOT)
    )


def _compile_spread(space: Space, path: str) -> _Spread:
    if not isinstance(space, TupleSpace | DictSpace):
        return list[Any].append
    opened = _compile_open(space, path)
    spreads = [_compile_spread(child, place) for place, child in children(space, path)]

    def spread(parts: list[Any], value: Any) -> None:
        for spread_child, child in zip(spreads, opened(value), strict=True):
            spread_child(parts, child)

    return spread


def _compile_gather(space: Space) -> _Gather:
    if isinstance(space, DictSpace):
        entries = [(entry.key, _compile_gather(entry.space)) for entry in space.entries]
        return lambda parts: {key: gather(parts) for key, gather in entries}
    if isinstance(space, TupleSpace):
        gathers = [_compile_gather(child) for child in space.spaces]
        return lambda parts: tuple([gather(parts) for gather in gathers])
    return next


def _compile_open(space: TupleSpace | DictSpace, path: str) -> Flatten:
    """Compiles what gives the values of a container's children, in declared order."""
    if isinstance(space, TupleSpace):
        return _compile_open_tuple(len(space.spaces), path)
    return _compile_open_dict(tuple(entry.key for entry in space.entries), path)


def _compile_open_dict(keys: tuple[str, ...], path: str) -> Flatten:
    count = len(keys)
    known = frozenset(keys)
    expected = f"expected a dict with the keys {_listed(keys)}"

    def open_mapping(value: Any) -> list[Any]:
        if not is_mapping(value):
            raise Violation("structure", path, None, f"{expected}, got {typename(value)}")
        # Asked for with `in`, as a defaultdict would make what it lacks.
        missing = [key for key in keys if key not in value]
        unexpected = [key for key in value if key not in known]
        if missing or unexpected:
            found = [f"without {_listed(missing)}"] if missing else []
            found += [f"with {_listed(unexpected)} besides"] if unexpected else []
            raise Violation("structure", path, None, f"{expected}, got one {' and '.join(found)}")
        return [value[key] for key in keys]

    if count < 2:  # itemgetter gives no tuple then
        return open_mapping
    get = cast("Callable[[Any], tuple[Any, ...]]", itemgetter(*keys))
    plain: Any = dict  # a name that a type checker does not narrow by

    def open_dict(value: Any) -> Sequence[Any]:
        if type(value) is plain and len(value) == count:
            try:
                return get(value)
            except KeyError:
                pass  # open_mapping says which
        return open_mapping(value)

    return open_dict


def _compile_open_tuple(count: int, path: str) -> Flatten:
    expected = f"expected a tuple of {count}"
    plain: Any = tuple  # a name that a type checker does not narrow by

    def open_tuple(value: Any) -> Sequence[Any]:
        if type(value) is plain and len(value) == count:
            parts: tuple[Any, ...] = value
            return parts
        if is_array(value) and value.ndim:
            value = list(value)
        if not is_row(value):
            raise Violation("structure", path, None, f"{expected}, got {typename(value)}")
        if len(value) != count:
            raise Violation("structure", path, None, f"{expected}, got one of {len(value)}")
        return value

    return open_tuple


def _listed(keys: Sequence[Any]) -> str:
    names = [shown(key) for key in keys[:_MANY]]
    names += [f"{len(keys) - _MANY} more"] if len(keys) > _MANY else []
    return ", ".join(names) or "none"
