"""`Text`: a text of bounded length."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar

from rlmesh.errors import InvalidArgumentError
from rlmesh.spaces.arrays import read_integer
from rlmesh_api.contract import TextSpace

__all__ = ["Text"]

_LONGEST = 2**63 - 1
_SHOWN = 12


class Text(TextSpace):
    """A text of `min_length` to `max_length` characters, both inclusive.

    Example:
        >>> Text(10)
        Text(1, 10)
        >>> Text(5, min_length=0, charset="01")
        Text(0, 5, charset='01')

    Args:
        max_length: The largest number of characters (Unicode code points).
        min_length: The least number of characters; 0 admits the empty text.
        charset: The characters that a text may be made of: a text or another iterable, in the
            order that sampling uses; a set is sorted. None admits every character.

    Raises:
        InvalidArgumentError: If the lengths are negative or in the wrong order, or the charset
            holds what is not a character.
    """

    __slots__ = ()

    shape: ClassVar[None] = None
    dtype: ClassVar[None] = None

    def __init__(
        self, max_length: int, *, min_length: int = 1, charset: Iterable[str] | None = None
    ) -> None:
        super().__init__(
            min_length=read_integer("Text min_length", min_length),
            max_length=read_integer("Text max_length", max_length),
            charset=None if charset is None else _read_charset(charset),
        )

    def __post_init__(self) -> None:
        if not 0 <= self.min_length <= self.max_length <= _LONGEST:
            raise InvalidArgumentError(
                f"Text lengths must be 0 <= min_length <= max_length <= {_LONGEST}, "
                f"got {self.min_length} and {self.max_length}"
            )
        if self.charset is None:
            return
        if len(set(self.charset)) != len(self.charset):
            raise InvalidArgumentError(
                f"Text charset must hold a character once: {reprlib.repr(self.charset)}"
            )
        try:
            self.charset.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(
                f"Text charset must not hold lone surrogates, got {reprlib.repr(self.charset)}"
            ) from error

    def __repr__(self) -> str:
        if self.charset is None:
            return f"Text({self.min_length}, {self.max_length})"
        more = "..." if len(self.charset) > _SHOWN else ""
        shown = f"{self.charset[:_SHOWN]}{more}"
        return f"Text({self.min_length}, {self.max_length}, charset={shown!r})"


def _read_charset(charset: Any) -> str:
    try:
        characters: list[Any] = list(charset)
    except TypeError as error:
        raise InvalidArgumentError(
            f"Text charset must be characters, got {reprlib.repr(charset)}"
        ) from error
    for character in characters:
        if not isinstance(character, str) or len(character) != 1:
            raise InvalidArgumentError(
                f"Text charset must be characters, got {reprlib.repr(character)}"
            )
    if isinstance(charset, AbstractSet):
        # The order of a set differs from process to process.
        characters.sort()
    return "".join(dict.fromkeys(characters))
