"""`Tuple` and `Dict`: spaces side by side."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from rlmesh.errors import InvalidArgumentError
from rlmesh_api.contract import DictEntry, DictSpace, Space, TupleSpace

__all__ = ["DEEPEST", "Dict", "Tuple"]

DEEPEST = 32
"""How many containers may stand in each other: what readers of protobuf take; they refuse more
than 100 nested messages."""


class Tuple(TupleSpace):
    """A fixed number of spaces by position.

    Example:
        >>> from rlmesh.spaces import Discrete, Text, Tuple
        >>> Tuple([Discrete(2), Text(5)])
        Tuple(Discrete(2), Text(1, 5))

    Args:
        spaces: The spaces in order; none is allowed.

    Raises:
        InvalidArgumentError: If one is no RLMesh space, or they are nested too deeply.
    """

    __slots__ = ()

    shape: ClassVar[None] = None
    dtype: ClassVar[None] = None

    def __init__(self, spaces: Iterable[Space]) -> None:
        super().__init__(spaces=tuple(_iterate("Tuple spaces must be an iterable", spaces)))

    def __post_init__(self) -> None:
        for index, space in enumerate(self.spaces):
            _check_child(f"Tuple space {index}", space)
        _check_depth(self)

    def __getitem__(self, index: int) -> Space:
        return self.spaces[index]

    def __repr__(self) -> str:
        return f"Tuple({', '.join(map(repr, self.spaces))})"


class Dict(DictSpace):
    """A fixed number of spaces by name, in a fixed order.

    Example:
        >>> from rlmesh.spaces import Box, Dict, Discrete
        >>> Dict({"goal": Discrete(2), "arm": Box(-1, 1)})
        Dict('goal': Discrete(2), 'arm': Box(-1.0, 1.0, (1,), float32))

    Args:
        spaces: A mapping, or pairs of a name and a space. The names keep their order, in the
            space and in every value; Gymnasium's Dict sorts the keys of a mapping instead.
        keep_order: Whether spaces that Gymnasium derives from this one keep the order too, its
            `sort_keys=False`. None: only if the names are not in sorted order.

    Raises:
        InvalidArgumentError: If a name is no text or comes twice, if a space is no RLMesh space,
            or if they are nested too deeply.
    """

    __slots__ = ()

    shape: ClassVar[None] = None
    dtype: ClassVar[None] = None

    def __init__(
        self,
        spaces: Mapping[str, Space] | Iterable[tuple[str, Space]],
        *,
        keep_order: bool | None = None,
    ) -> None:
        given: Any = spaces
        expected = "Dict spaces must be a mapping or pairs of a name and a space"
        entries: list[DictEntry] = []
        for pair in _iterate(expected, given.items() if isinstance(given, Mapping) else given):
            try:
                key, space = pair
            except (TypeError, ValueError) as error:
                raise InvalidArgumentError(f"{expected}, got {reprlib.repr(pair)}") from error
            entries.append(DictEntry(key=_read_key(key), space=space))
        keys = [entry.key for entry in entries]
        super().__init__(
            entries=tuple(entries),
            keep_order=keys != sorted(keys) if keep_order is None else keep_order,
        )

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for entry in self.entries:
            if entry.key in seen:
                raise InvalidArgumentError(f"Dict key {entry.key!r} must come once")
            seen.add(entry.key)
            _check_child(f"Dict space {entry.key!r}", entry.space)
        _check_depth(self)

    @property
    def spaces(self) -> dict[str, Space]:
        """The spaces by name, in order; a new dict each time."""
        return {entry.key: entry.space for entry in self.entries}

    def __getitem__(self, key: str) -> Space:
        return self.spaces[key]

    def __iter__(self) -> Iterator[str]:
        return (entry.key for entry in self.entries)

    def __repr__(self) -> str:
        inside = ", ".join(f"{entry.key!r}: {entry.space!r}" for entry in self.entries)
        return f"Dict({inside})"


def _iterate(expected: str, items: Any) -> Iterator[Any]:
    try:
        return iter(items)
    except TypeError as error:
        raise InvalidArgumentError(f"{expected}, got {reprlib.repr(items)}") from error


def _read_key(key: object) -> str:
    if not isinstance(key, str):
        raise InvalidArgumentError(f"Dict key must be a str, got {reprlib.repr(key)}")
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"Dict key must not hold lone surrogates, got {reprlib.repr(key)}"
        ) from error
    # A member of an enum or a NumPy text is equal to the plain one that a peer gets.
    return str.__str__(key)


def _check_child(what: str, space: object) -> None:
    if not isinstance(space, Space):
        raise InvalidArgumentError(
            f"{what} must be an RLMesh space, got {type(space).__name__}; convert a Gymnasium "
            f"space with rlmesh.spaces.from_gymnasium_space"
        )


def _check_depth(space: Space) -> None:
    depth = _depth(space)
    if depth > DEEPEST:
        raise InvalidArgumentError(
            f"spaces may stand in each other {DEEPEST} deep, got {depth}; flatten some"
        )


def _depth(space: Space) -> int:
    """How many containers stand in each other."""
    if isinstance(space, TupleSpace):
        return 1 + max(map(_depth, space.spaces), default=0)
    if isinstance(space, DictSpace):
        return 1 + max((_depth(entry.space) for entry in space.entries), default=0)
    return 0
