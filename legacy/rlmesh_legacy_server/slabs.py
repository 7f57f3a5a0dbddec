"""Values of a space as slabs, and their checks: session.proto says how a slab is laid out.

The checks are those of RLMesh. A wrong structure or shape, a number outside of its domain and NaN
are violations; a number out of a Box's bounds, or a text out of its charset or length, is a
deviation, which a policy decides about.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from rlmesh_legacy_server.messages import DTYPE
from rlmesh_legacy_server.spaces import numbers_of
from rlmesh_legacy_server.texts import child_place, described, shown, typename

_DTYPE_NAMES = {number: name.lower() for name, number in DTYPE.items()}


class Deviation(NamedTuple):
    """A value that can travel although its space does not hold it."""

    kind: str
    path: str
    env_index: int | None
    detail: str


class Violation(Exception):  # noqa: N818 - a finding; its callers turn it into a failure
    """A value that its space refuses."""

    def __init__(self, path: str, env_index: int | None, detail: str) -> None:
        where = path if env_index is None else f"{path} in sub-environment {env_index}"
        super().__init__(f"{where}: {detail}")


class Layout:
    """How the values of a space stand in a slab.

    Args:
        space: The message of the space of one sub-environment.
        num_envs: The number of sub-environments of a vector environment, else None.
        policy: `warn`, `strict` or `off`: what to do about deviations.
        nan: Whether NaN in a Box is delivered.
    """

    def __init__(self, space: Any, num_envs: int | None, policy: str, *, nan: bool) -> None:
        self._space, self._policy = space, policy
        self.leaves: list[_Leaf] = []
        self.size = 0
        for path, leaf in _leaf_spaces(space, "$"):
            kind = _TextLeaf if leaf.WhichOneof("kind") == "text" else _NumberLeaf
            self.leaves.append(kind(path, leaf, num_envs, -(-self.size // 8) * 8))
            self.leaves[-1].nan = nan
            self.size = self.leaves[-1].end

    def numeric(self) -> dict[str, _NumberLeaf]:
        """The leaves of numbers by their place."""
        return {leaf.path: leaf for leaf in self.leaves if isinstance(leaf, _NumberLeaf)}

    def encode(self, value: Any) -> tuple[bytes, list[Deviation]]:
        """The slab of a value, and where it deviates from its space.

        Raises:
            Violation: If the space does not hold it, or the policy refuses a deviation.
        """
        found: list[Deviation] = []
        slab, tail = bytearray(), b""
        for leaf, part in zip(self.leaves, _flatten(self._space, value, "$")):
            coerced = leaf.coerce(part, found)
            self._check(leaf, coerced, found)
            fixed, texts = leaf.write(coerced)
            slab += bytes(leaf.offset - len(slab)) + fixed
            tail += texts
        return bytes(slab) + tail, found

    def decode(self, slab: bytes) -> tuple[Any, list[Deviation]]:
        """The value of a slab, owned and writable, and where it deviates from its space.

        Raises:
            ValueError: If the slab is damaged.
            Violation: As for `encode`.
        """
        found: list[Deviation] = []
        if len(slab) < self.size:
            raise ValueError(f"expected a slab of {self.size} bytes, got {len(slab)}")
        at, parts = self.size, []
        for leaf in self.leaves:
            part, at = leaf.read(slab, at)
            parts.append(part)
        if at != len(slab):
            raise ValueError(f"expected a slab of {at} bytes, got {len(slab)}")
        for leaf, part in zip(self.leaves, parts):
            self._check(leaf, part, found)
        return _assemble(
            self._space, iter(leaf.given(p) for leaf, p in zip(self.leaves, parts))
        ), found

    def _check(self, leaf: _Leaf, value: Any, found: list[Deviation]) -> None:
        if self._policy == "off" and not leaf.required and leaf.nan:
            return
        new = list(leaf.deviations(value))
        if self._policy == "off":
            return
        found += new
        if found and self._policy == "strict":
            raise Violation(found[0].path, found[0].env_index, found[0].detail)


class _Leaf:
    """One leaf of a space: where and how it stands."""

    required = False
    nan = False

    def __init__(self, path: str, space: Any, num_envs: int | None, offset: int) -> None:
        self.path, self.offset, self.num_envs = path, offset, num_envs
        self.kind = space.WhichOneof("kind")
        self.space = getattr(space, self.kind)
        self.end = offset

    def coerce(self, value: Any, found: list[Deviation]) -> Any:
        """The value in the form that `write` takes; raises `Violation`."""
        raise NotImplementedError

    def write(self, value: Any) -> tuple[bytes, bytes]:
        """The bytes of the fixed part and of the tail."""
        raise NotImplementedError

    def read(self, slab: bytes, tail: int) -> tuple[Any, int]:
        """The value in the form that `write` takes, and where the rest of the tail begins."""
        raise NotImplementedError

    def deviations(self, value: Any) -> Iterator[Deviation]:
        """Where a value deviates from the space; raises `Violation` where it must not."""
        raise NotImplementedError

    def given(self, value: Any) -> Any:
        """The value as an environment is given it."""
        return value


class _NumberLeaf(_Leaf):
    def __init__(self, path: str, space: Any, num_envs: int | None, offset: int) -> None:
        super().__init__(path, space, num_envs, offset)
        own = () if self.kind == "discrete" else tuple(self.space.shape)
        name = "int8" if self.kind == "multi_binary" else _DTYPE_NAMES[self.space.dtype]
        self.dtype = np.dtype(name).newbyteorder("<")
        self.shape = own if num_envs is None else (num_envs, *own)
        self.end = offset + int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        self.required = self.kind != "box"
        low, high = self._limits()
        least, most = _extremes(self.dtype)
        self.low, self.high = self._bound(low, least, own), self._bound(high, most, own)

    def _limits(self) -> tuple[Sequence[Any], Sequence[Any]]:
        space = self.space
        if self.kind == "box":
            return numbers_of(space.low), numbers_of(space.high)
        if self.kind == "multi_binary":
            return [0], [1]
        if self.kind == "discrete":
            [start] = numbers_of([space.start])
            return [int(start)], [int(start) + space.n - 1]
        starts = [int(start) for start in numbers_of(space.start)]
        count = max(len(starts), len(space.nvec))
        starts, nvec = _wide(starts, count), _wide(list(space.nvec), count)
        return starts, [start + n - 1 for start, n in zip(starts, nvec)]

    def _bound(self, bounds: Sequence[Any], vacuous: Any, shape: tuple[int, ...]) -> Any:
        """The bounds as an array that can be compared with values; None where they say nothing."""
        low, high = _extremes(self.dtype)
        inside = [min(max(bound, low), high) for bound in bounds]
        if all(bound == vacuous for bound in inside):
            return None
        array = np.array(inside, self.dtype)
        return array.reshape(() if len(inside) == 1 else shape)

    def same(self, other: _NumberLeaf) -> bool:
        """Whether the other one holds the same arrays."""
        bounds = (self.low, other.low), (self.high, other.high)
        return (self.dtype, self.shape) == (other.dtype, other.shape) and all(
            a is b
            or (a is not None and b is not None and np.broadcast_to(a == b, self.shape).all())
            for a, b in bounds
        )

    def coerce(self, value: Any, found: list[Deviation]) -> Any:
        if type(value) is np.ndarray and value.dtype == self.dtype and value.shape == self.shape:
            return value
        return _Coercion(self, found)(value)

    def write(self, value: Any) -> tuple[bytes, bytes]:
        return value.tobytes(), b""

    def read(self, slab: bytes, tail: int) -> tuple[Any, int]:
        raw = np.frombuffer(slab[self.offset : self.end], self.dtype)
        if self.dtype.kind == "b":
            raw = raw.view(np.uint8) != 0
        return raw.reshape(self.shape).copy(), tail

    def given(self, value: Any) -> Any:
        return value[()] if self.kind == "discrete" and self.num_envs is None else value

    def deviations(self, value: Any) -> Iterator[Deviation]:
        if self.dtype.kind == "f" and not self.nan:
            for index, env_index, more in self.bad_elements(np.isnan(value)):
                raise Violation(
                    self.path, env_index, f"{self.element(value, index)} is no number{more}"
                )
        rules = (self.low, np.less, "below the least"), (self.high, np.greater, "above the largest")
        # Of each sub-environment the first in C order, whichever side it is on.
        sides = [None if b is None else np.asarray(f(value, b)) for b, f, _ in rules]
        present = [side for side in sides if side is not None]
        if not present or not any(side.any() for side in present):
            return
        for index, env_index, more in self.bad_elements(np.logical_or.reduce(present)):
            side = 0 if sides[0] is not None and sides[0][index] else 1
            bound = np.broadcast_to(rules[side][0], self.shape)[index]
            detail = (
                f"{self.element(value, index)} is {rules[side][2]} allowed, {shown(bound)}{more}"
            )
            if self.required:
                raise Violation(self.path, env_index, detail)
            yield Deviation("bounds", self.path, env_index, detail)

    def bad_elements(self, mask: Any) -> Iterator[tuple[tuple[int, ...], int | None, str]]:
        """The first bad element of each sub-environment, and how many more there are."""
        if not mask.any():
            return
        rows = [mask] if self.num_envs is None else list(mask)
        for row, bad in enumerate(rows):
            count = int(np.count_nonzero(bad))
            if count:
                first = np.unravel_index(int(np.argmax(bad)), np.shape(bad)) if np.ndim(bad) else ()
                within = tuple(int(i) for i in first)
                more = f" (and {count - 1} more)" if count > 1 else ""
                yield (
                    (within, None, more) if self.num_envs is None else ((row, *within), row, more)
                )

    def element(self, array: Any, index: tuple[int, ...]) -> str:
        """An element and where it stands in its sub-environment: `2.5 at [1, 0]`."""
        within = index if self.num_envs is None else index[1:]
        return shown(array[index]) + (f" at {list(within)}" if within else "")


class _Coercion:
    """Makes an array of a leaf's dtype of what an environment gave, if that is exact."""

    def __init__(self, leaf: _NumberLeaf, found: list[Deviation]) -> None:
        self.leaf, self.found = leaf, found

    def __call__(self, value: Any) -> Any:
        leaf = self.leaf
        kind = leaf.dtype.kind
        try:
            array = np.asarray(value)
            if array.dtype.kind == "f" and kind in "iu" and isinstance(value, (list, tuple)):
                # NumPy reads ints on both sides of 2**63 as float64, which loses their digits.
                array = np.array(value, dtype=object)
        except Exception as error:
            raise self.refused(f"{typename(value)} that NumPy cannot read as an array") from error
        if array.dtype.kind not in "biufcO":
            raise self.refused(typename(value))
        if array.shape != leaf.shape:
            raise self.refused(f"shape {array.shape}")
        if array.dtype.kind in "cO":
            array = self.of_objects(array)
        with np.errstate(all="ignore"):
            if kind == "f":
                return self.to_float(array)
            return self.to_bool(array) if kind == "b" else self.to_integer(array)

    def of_objects(self, array: Any) -> Any:
        """Real numbers of any type, one by one."""
        items: list[Any] = []
        for index, item in np.ndenumerate(array):
            number = _real_part(item)
            if not _is_real(number):
                raise self.refused(typename(item), index)
            try:
                items.append(float(number) if self.leaf.dtype.kind == "f" else int(number))
            except (OverflowError, ValueError):
                if self.leaf.dtype.kind != "f":
                    raise self.refused(shown(number), index, ", which is no integer") from None
                self.overflow(number, index)
                items.append(math.inf if number > 0 else -math.inf)
            if self.leaf.dtype.kind != "f" and items[-1] != number:
                raise self.refused(shown(number), index, ", which is no integer")
        made = np.empty(len(items), object)
        made[:] = items
        return made.reshape(array.shape)

    def to_float(self, array: Any) -> Any:
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
        rounded = array.astype(self.leaf.dtype)
        beyond = np.isinf(rounded) & np.isfinite(array)
        for index, _, more in self.leaf.bad_elements(beyond):
            self.overflow(array[index], index, more)
        return rounded

    def to_bool(self, array: Any) -> Any:
        self.refuse((array != 0) & (array != 1), array, "which is neither 0 nor 1")
        return array.astype(np.bool_)

    def to_integer(self, array: Any) -> Any:
        low, high = _extremes(self.leaf.dtype)
        rule = f"outside of {low} to {high}"
        if array.dtype.kind == "f":
            wide = array.astype(np.promote_types(array.dtype, np.float64))
            self.refuse(~np.isfinite(wide) | (np.trunc(wide) != wide), array, "which is no integer")
            # 2**63 is a float64, 2**63 - 1 is none.
            self.refuse((wide < low) | (wide >= float(high + 1)), array, rule)
        elif array.size and not low <= int(array.min()) <= int(array.max()) <= high:
            outside = [not low <= int(item) <= high for item in array.reshape(-1).tolist()]
            self.refuse(np.array(outside).reshape(array.shape), array, rule)
        return array.astype(self.leaf.dtype)

    def refuse(self, mask: Any, array: Any, rule: str) -> None:
        for index, env_index, _ in self.leaf.bad_elements(np.asarray(mask, bool)):
            raise self.violation(f"{self.leaf.element(array, index)}, {rule}", env_index)

    def refused(self, got: str, index: tuple[int, ...] = (), rule: str = "") -> Violation:
        vector = self.leaf.num_envs is not None
        within = index[1:] if vector else index
        at = f" at {list(within)}" if within else ""
        return self.violation(got + at + rule, index[0] if vector and index else None)

    def violation(self, got: str, env_index: int | None) -> Violation:
        expected = f"expected {self.leaf.dtype.name} of shape {self.leaf.shape}"
        return Violation(self.leaf.path, env_index, f"{expected}, got {got}")

    def overflow(self, number: Any, index: tuple[int, ...], more: str = "") -> None:
        leaf = self.leaf
        within = index if leaf.num_envs is None else index[1:]
        at = f" at {list(within)}" if within else ""
        detail = f"{shown(number)}{at} is beyond {leaf.dtype.name}: it became infinite{more}"
        env_index = None if leaf.num_envs is None else index[0]
        self.found.append(Deviation("overflow", leaf.path, env_index, detail))


class _TextLeaf(_Leaf):
    def __init__(self, path: str, space: Any, num_envs: int | None, offset: int) -> None:
        super().__init__(path, space, num_envs, offset)
        self.count = 1 if num_envs is None else num_envs
        self.end = offset + 4 * self.count
        self.charset = frozenset(self.space.charset) if self.space.HasField("charset") else None

    def coerce(self, value: Any, found: list[Deviation]) -> Any:
        texts = [value]
        if self.num_envs is not None:
            if isinstance(value, np.ndarray) and value.ndim == 1:
                value = value.tolist()
            if not isinstance(value, (list, tuple)) or len(value) != self.count:
                raise Violation(
                    self.path,
                    None,
                    f"expected a tuple of {self.count} texts, got {described(value)}",
                )
            texts = list(value)
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                env_index = None if self.num_envs is None else index
                raise Violation(self.path, env_index, f"expected a str, got {typename(text)}")
        return texts

    def write(self, value: Any) -> tuple[bytes, bytes]:
        data = [text.encode("utf-8", "surrogatepass") for text in value]
        return np.array([len(each) for each in data], "<u4").tobytes(), b"".join(data)

    def read(self, slab: bytes, tail: int) -> tuple[Any, int]:
        texts = []
        for length in np.frombuffer(slab[self.offset : self.end], "<u4").tolist():
            data = slab[tail : tail + length]
            if len(data) != length:
                raise ValueError(f"{self.path}: expected a text of {length} bytes, got {len(data)}")
            texts.append(data.decode("utf-8", "surrogatepass"))
            tail += length
        return texts, tail

    def given(self, value: Any) -> Any:
        return value[0] if self.num_envs is None else tuple(value)

    def deviations(self, value: Any) -> Iterator[Deviation]:
        least, most = self.space.min_length, self.space.max_length
        for index, text in enumerate(value):
            env_index = None if self.num_envs is None else index
            if not least <= len(text) <= most:
                detail = f"a text of {len(text)} characters, where {least} to {most} are allowed"
                yield Deviation("length", self.path, env_index, detail)
            if self.charset is not None and not self.charset.issuperset(text):
                strange = [place for place, c in enumerate(text) if c not in self.charset]
                more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
                detail = f"{shown(text[strange[0]])} at [{strange[0]}] is not in the charset{more}"
                yield Deviation("charset", self.path, env_index, detail)


def _real_part(item: Any) -> Any:
    """The number that an object is, without an imaginary part of zero."""
    number = item[()] if isinstance(item, np.ndarray) and item.shape == () else item
    real: bool = isinstance(number, (complex, np.complexfloating)) and number.imag == 0
    return number.real if real else number


def _is_real(number: Any) -> bool:
    return isinstance(number, (numbers.Real, np.bool_))


def _wide(values: list[Any], count: int) -> list[Any]:
    return values * count if len(values) == 1 else values


def _extremes(dtype: Any) -> tuple[Any, Any]:
    """The least and the largest value of a dtype."""
    if dtype.kind in "fb":
        return (-math.inf, math.inf) if dtype.kind == "f" else (0, 1)
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _children(space: Any) -> list[tuple[Any, Any]] | None:
    """The spaces inside of a container by key or index; None for a leaf."""
    kind = space.WhichOneof("kind")
    if kind == "tuple":
        return list(enumerate(space.tuple.spaces))
    if kind == "dict":
        return [(entry.key, entry.space) for entry in space.dict.entries]
    return None


def _leaf_spaces(space: Any, path: str) -> Iterator[tuple[str, Any]]:
    children = _children(space)
    if children is None:
        yield path, space
    for key, child in children or ():
        yield from _leaf_spaces(child, child_place(path, key))


def _flatten(space: Any, value: Any, path: str) -> Iterator[Any]:
    """The values of the leaves, in declared order; raises `Violation`."""
    children = _children(space)
    if children is None:
        yield value
        return
    if space.WhichOneof("kind") == "dict":
        keys = [key for key, _ in children]
        if not isinstance(value, Mapping) or set(value) != set(keys):
            mapping = isinstance(value, Mapping)
            got = f"one with {sorted(map(str, value))}" if mapping else typename(value)
            raise Violation(path, None, f"expected a dict with the keys {keys}, got {got}")
    else:
        if isinstance(value, np.ndarray) and value.ndim:
            value = list(value)
        if not isinstance(value, (list, tuple)) or len(value) != len(children):
            got = f"one of {len(value)}" if isinstance(value, (list, tuple)) else typename(value)
            raise Violation(path, None, f"expected a tuple of {len(children)}, got {got}")
    for key, child in children:
        yield from _flatten(child, value[key], child_place(path, key))


def _assemble(space: Any, parts: Iterator[Any]) -> Any:
    children = _children(space)
    if children is None:
        return next(parts)
    if space.WhichOneof("kind") == "dict":
        return {key: _assemble(child, parts) for key, child in children}
    return tuple([_assemble(child, parts) for _, child in children])
