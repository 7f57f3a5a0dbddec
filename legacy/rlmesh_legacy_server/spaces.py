"""Spaces: seven classes for objects without Gym, and Gym's and Gymnasium's read as messages."""

from __future__ import annotations

import string
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from rlmesh_legacy_server.messages import DTYPE, Number, Space
from rlmesh_legacy_server.texts import child_place

__all__ = [
    "Box",
    "Dict",
    "Discrete",
    "MultiBinary",
    "MultiDiscrete",
    "Text",
    "Tuple",
    "UnsupportedSpaceError",
    "numbers_of",
    "space_message",
]

# In this order Gymnasium's default charset stands: a text of any characters.
_ANY_TEXT = string.ascii_letters + string.digits
_DEEPEST = 64
_MODULES = ("gym", "gymnasium", "rlmesh_legacy_server")


class UnsupportedSpaceError(TypeError):
    """A space that cannot be carried; the message names it and its place."""


class Box:
    """Numbers of one dtype between two bounds, both inclusive; -inf and inf for none."""

    def __init__(self, low: Any, high: Any, shape: Any = None, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        if shape is None:
            shape = np.shape(low) or np.shape(high) or (1,)
        self.shape: tuple[int, ...] = tuple(shape)
        self.bounded_below = np.broadcast_to(np.asarray(low) != -np.inf, self.shape)
        self.bounded_above = np.broadcast_to(np.asarray(high) != np.inf, self.shape)
        self.low, self.high = self._bounds(low, 0), self._bounds(high, 1)

    def _bounds(self, bound: Any, side: int) -> Any:
        bounds = np.asarray(bound)
        if self.dtype.kind in "iu" and bounds.dtype.kind == "f":
            limits = np.iinfo(self.dtype)
            extreme = int((limits.min, limits.max)[side])
            whole = [extreme if np.isinf(each) else int(each) for each in bounds.ravel()]
            bounds = np.array(whole, self.dtype).reshape(bounds.shape)
        return np.broadcast_to(bounds.astype(self.dtype), self.shape)


class Discrete:
    """One integer from `start` to `start + n - 1`."""

    shape = ()

    def __init__(self, n: int, start: int = 0, dtype: Any = np.int64) -> None:
        self.n, self.start, self.dtype = n, start, np.dtype(dtype)


class MultiBinary:
    """Zeros and ones of dtype int8; `n` is a length or a shape."""

    dtype = np.dtype(np.int8)

    def __init__(self, n: int | Sequence[int]) -> None:
        self.n = n


class MultiDiscrete:
    """Integers, element i from `start[i]` to `start[i] + nvec[i] - 1`."""

    def __init__(self, nvec: Any, dtype: Any = np.int64, start: Any = None) -> None:
        self.dtype = np.dtype(dtype)
        self.nvec = np.asarray(nvec, self.dtype)
        self.shape = self.nvec.shape
        self.start = np.zeros_like(self.nvec) if start is None else np.asarray(start, self.dtype)


class Text:
    """A text of `min_length` to `max_length` characters; `charset` None: of any."""

    def __init__(self, max_length: int, *, min_length: int = 1, charset: str | None = None) -> None:
        self.max_length, self.min_length = max_length, min_length
        self.character_list = _ANY_TEXT if charset is None else charset


class Tuple:
    """Spaces by position."""

    def __init__(self, spaces: Iterable[Any]) -> None:
        self.spaces = tuple(spaces)


class Dict:
    """Spaces by name, in the order given."""

    def __init__(self, spaces: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        self.spaces = dict(spaces)


def space_message(space: Any, place: str = "$", depth: int = 0) -> Any:
    """The message of a space of this module, of Gym or of Gymnasium.

    Raises:
        UnsupportedSpaceError: If it is another one, or cannot be carried without loss.
    """
    if depth > _DEEPEST:
        raise UnsupportedSpaceError(f"{place}: spaces may stand in each other {_DEEPEST} deep")
    for cls in type(space).__mro__:
        read = _READERS.get(cls.__name__)
        if read is not None and cls.__module__.partition(".")[0] in _MODULES:
            message = Space()
            read(message, space, place, depth)
            return message
    raise UnsupportedSpaceError(
        f"{place}: {type(space).__module__}.{type(space).__name__} is not supported, this server "
        f"carries {', '.join(_READERS)} of gym, gymnasium or rlmesh_legacy_server.spaces; express "
        f"the space in these, for instance with a wrapper"
    )


def _dtype(space: Any, place: str, kinds: str = "biuf") -> int:
    dtype = np.dtype(space.dtype)
    number = DTYPE.get(dtype.name.upper()) if dtype.isnative and dtype.kind in kinds else None
    if number is None:
        raise UnsupportedSpaceError(
            f"{place}: a {type(space).__name__} of dtype {dtype.str} is not supported; take a "
            f"bool, an integer or a float of up to 64 bits"
        )
    return number


def _numbers(array: Any, *, real: bool) -> Any:
    """The numbers of an array in C order, or a single one where all are the same, bit for bit."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.size and (flat.view(f"u{flat.itemsize}") == flat[:1].view(f"u{flat.itemsize}")).all():
        flat = flat[:1]
    if real:
        return [Number(real=item) for item in flat.tolist()]
    items = [int(item) for item in flat.tolist()]
    return [Number(natural=i) if i >= 1 << 63 else Number(integer=i) for i in items]


def numbers_of(numbers: Any) -> Any:
    """The numbers of messages, as Python's."""
    return [getattr(each, each.WhichOneof("value") or "real") for each in numbers]


def _flags(array: Any, default: Any) -> Any:
    array = np.asarray(array)
    if array.size == 0 or (array == default).all():
        return []
    return array.reshape(-1)[:1].tolist() if array.min() == array.max() else array.ravel().tolist()


def _box(message: Any, space: Any, place: str, depth: int) -> None:
    box, low, high = message.box, np.asarray(space.low), np.asarray(space.high)
    box.dtype = _dtype(space, place)
    if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        raise UnsupportedSpaceError(f"{place}: a Box needs low <= high, without NaN")
    box.shape.extend(space.shape)
    box.low.extend(_numbers(low, real=low.dtype.kind == "f"))
    box.high.extend(_numbers(high, real=high.dtype.kind == "f"))
    # Gym before 0.18 does not say which bounds are bounds.
    box.bounded_below.extend(
        _flags(getattr(space, "bounded_below", low != -np.inf), low != -np.inf)
    )
    box.bounded_above.extend(
        _flags(getattr(space, "bounded_above", high != np.inf), high != np.inf)
    )


def _discrete(message: Any, space: Any, place: str, depth: int) -> None:
    message.discrete.dtype = _dtype(space, place, "iu")
    message.discrete.n = int(space.n)
    start = np.asarray(getattr(space, "start", 0), np.dtype(space.dtype))
    message.discrete.start.CopyFrom(_numbers(start, real=False)[0])


def _multi_binary(message: Any, space: Any, place: str, depth: int) -> None:
    message.multi_binary.flat = not hasattr(space.n, "__iter__")
    axes = [space.n] if message.multi_binary.flat else space.n
    message.multi_binary.shape.extend(int(axis) for axis in axes)


def _multi_discrete(message: Any, space: Any, place: str, depth: int) -> None:
    message.multi_discrete.dtype = _dtype(space, place, "iu")
    nvec = np.asarray(space.nvec)
    start = getattr(space, "start", np.zeros_like(nvec))
    message.multi_discrete.shape.extend(nvec.shape)
    message.multi_discrete.nvec.extend(
        number.integer if number.WhichOneof("value") == "integer" else number.natural
        for number in _numbers(nvec, real=False)
    )
    message.multi_discrete.start.extend(_numbers(start, real=False))


def _text(message: Any, space: Any, place: str, depth: int) -> None:
    characters = "".join(space.character_list)
    message.text.min_length, message.text.max_length = space.min_length, space.max_length
    if characters != _ANY_TEXT:
        message.text.charset = characters


def _tuple(message: Any, space: Any, place: str, depth: int) -> None:
    message.tuple.SetInParent()
    for index, child in enumerate(space.spaces):
        message.tuple.spaces.add().CopyFrom(
            space_message(child, child_place(place, index), depth + 1)
        )


def _dict(message: Any, space: Any, place: str, depth: int) -> None:
    message.dict.keep_order = not getattr(space, "sort_keys", True)
    message.dict.SetInParent()
    for key, child in space.spaces.items():
        if not isinstance(key, str):
            raise UnsupportedSpaceError(f"{place}: the key {key!r:.80} of a Dict must be a str")
        made = space_message(child, child_place(place, key), depth + 1)
        message.dict.entries.add(key=key).space.CopyFrom(made)


_READERS: Any = {
    "Box": _box,
    "Discrete": _discrete,
    "MultiBinary": _multi_binary,
    "MultiDiscrete": _multi_discrete,
    "Text": _text,
    "Tuple": _tuple,
    "Dict": _dict,
}
