"""Values that environments put into infos, and that nobody should."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Word(str, enum.Enum):
    A = "a"


@dataclass
class Pose:
    x: float
    y: float


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


class Quitting:
    """Ends the process of who wants its text."""

    def __repr__(self) -> str:
        raise SystemExit(1)


class Hostile:
    """Raises in every method that anybody might call."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __getattribute__ = __eq__ = __repr__ = __str__ = __bool__ = __len__ = _refuse
    __iter__ = __getitem__ = __int__ = __float__ = __index__ = __array__ = _refuse
    __hash__ = object.__hash__


class Liar:
    """Says that it is a dict."""

    __class__ = dict  # type: ignore[assignment] # that is the lie

    def __repr__(self) -> str:
        return "liar"


class Named:
    """An object with a text of its own choice."""

    def __init__(self, text: Any) -> None:
        self.text = text

    def __str__(self) -> Any:
        return self.text


def objects(*items: Any) -> np.ndarray[Any, Any]:
    """An array of objects, which NumPy would take apart if it could."""
    array = np.empty(len(items), object)
    for index, item in enumerate(items):
        array[index] = item
    return array


class Endless(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return map(str, itertools.count())

    def __len__(self) -> int:
        return 1


class Lazy(Endless):
    def __getitem__(self, key: str) -> int:
        raise SystemExit(1)


class Raising(type):
    """A class that cannot even be hashed."""

    def __hash__(cls) -> int:
        raise RuntimeError


class Unhashable(metaclass=Raising):
    @classmethod
    def made(cls) -> Unhashable:
        return cls()


def cyclic_list() -> Any:
    value: list[Any] = [1]
    value.append(value)
    return value


def cyclic_dict() -> Any:
    value: dict[str, Any] = {}
    value["self"] = {"inner": value}
    return value


def cyclic_tuple() -> Any:
    inner: list[Any] = []
    value = (inner,)
    inner.append(value)
    return value


def cyclic_objects() -> Any:
    value = np.empty(1, object)
    value[0] = [value]
    return value


def cyclic_subclass() -> Any:
    value = type("Sub", (dict,), {})()
    value["self"] = value
    return value


def cyclic_keyed() -> Any:
    value: dict[Any, Any] = {}
    value[1] = value
    return value
