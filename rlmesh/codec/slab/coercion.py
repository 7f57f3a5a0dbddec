"""Converts what a user gives for a numeric leaf to an array of its dtype, if that is exact.

A float may round to a narrower float as NumPy rounds it, and one that overflows is noted as a
deviation. An integer dtype takes only what it can hold exactly, a bool dtype only 0 and 1. A shape
must be right as it is. This is the slow way: a value that needs no coercion does not come here.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.foreign_arrays import read_array
from rlmesh.codec.infos.type_guards import is_array, is_row
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.locate import bad_elements, element
from rlmesh.codec.slab.protocols import Notes
from rlmesh.codec.slab.violations import Deviation, Violation, ViolationKind, typename

__all__ = ["Coercion"]

_Array: TypeAlias = npt.NDArray[Any]
_Index: TypeAlias = tuple[int, ...]


class Coercion:
    """Coerces the values of one numeric leaf.

    Args:
        leaf: The leaf.
        env_index: The sub-environment of every value, where each value is that of one
            sub-environment of several; None where a value is that of all.
    """

    def __init__(self, leaf: Leaf, env_index: int | None = None) -> None:
        self._leaf = leaf
        self._env_index = env_index
        self._vector = leaf.num_envs is not None and env_index is None
        self._dtype = leaf.dtype
        self._shape = leaf.shape if env_index is None else leaf.shape[1:]

    def __call__(self, value: Any, notes: Notes) -> _Array:
        """The array: of the leaf's dtype and shape, of any strides.

        Args:
            value: What a user gave.
            notes: Takes what overflowed.

        Raises:
            Violation: If it is no array of that shape, or not exactly of that dtype.
        """
        array = self._read(value)
        if array.dtype.kind == "O":
            array = self._from_objects(array, notes)
        elif array.dtype.kind == "c":
            array = self._from_complex(array)
        if array.dtype == self._dtype:
            return array
        with np.errstate(all="ignore"):
            if self._dtype.kind == "f":
                return self._to_float(array, notes)
            return self._to_bool(array) if self._dtype.kind == "b" else self._to_integer(array)

    def _read(self, value: Any) -> _Array:
        """An array of the right shape, of numbers or of objects."""
        try:
            array = read_array(value)
            if array.dtype.kind == "f" and self._dtype.kind in "iu" and is_row(value):
                # NumPy reads ints on both sides of 2**63 as float64, which loses their digits.
                array = np.array(value, dtype=object)
        except Exception as error:
            self._blame_env_index(value)
            got = (
                f"{typename(value)} that NumPy cannot read as an array: {_said(error)}; convert it "
                f"first, to an array in main memory and of a dtype of NumPy"
            )
            raise self._violation("type", got) from error
        strange = array.dtype.kind not in "biufcO"
        if strange or (array.shape == () and _number(array[()]) is None):
            self._blame_env_index(value)
            raise self._violation("type", _outline(value, array))
        if array.shape != self._shape:
            self._blame_env_index(value)
            raise self._violation("shape", f"shape {array.shape}")
        return array

    def _from_objects(self, array: _Array, notes: Notes) -> _Array:
        """Numbers of any type, one by one: of the leaf's dtype, or float64 for a float leaf."""
        to_real = self._dtype.kind == "f"
        items: list[int | float] = []
        for index, item in np.ndenumerate(array):
            number = _number(item)
            if number is None:
                env_index, within = self._place(index)
                at = f" at {list(within)}" if within else ""
                raise self._violation("type", f"{typename(item)}{at}", env_index)
            items.append(
                self._real(number, index, notes) if to_real else self._exact(number, index)
            )
        dtype = np.dtype(np.float64) if to_real else self._dtype
        return np.array(items, dtype=dtype).reshape(array.shape)

    def _real(self, number: Any, index: _Index, notes: Notes) -> float:
        try:
            return float(number)
        except OverflowError:
            self._note(number, index, notes)
            return math.inf if number > 0 else -math.inf
        except (TypeError, ValueError):
            raise self._violation_at("type", number, index, "which is no real number") from None

    def _exact(self, number: Any, index: _Index) -> int:
        try:
            whole = int(number)
        except (OverflowError, TypeError, ValueError):  # an infinity, NaN, no real number
            raise self._violation_at("inexact", number, index, "which is no integer") from None
        if whole != number:
            raise self._violation_at("inexact", number, index, "which is no integer")
        low, high = _limits(self._dtype)
        if not low <= whole <= high:
            raise self._violation_at("range", number, index, f"outside of {low} to {high}")
        return whole

    def _from_complex(self, array: _Array) -> _Array:
        self._refuse_any(np.imag(array) != 0, "type", array, "which is no real number")
        return np.real(array)

    def _to_float(self, array: _Array, notes: Notes) -> _Array:
        rounded = array.astype(self._dtype)
        if notes is not None:
            infinite = np.isinf(rounded)
            if infinite.any():
                for bad_element in bad_elements(infinite & np.isfinite(array), vector=self._vector):
                    self._note(array[bad_element.index], bad_element.index, notes, bad_element.more)
        return rounded

    def _to_integer(self, array: _Array) -> _Array:
        if np.can_cast(array.dtype, self._dtype):
            return array.astype(self._dtype)
        low, high = _limits(self._dtype)
        rule = f"outside of {low} to {high}"
        if array.dtype.kind == "f":
            wide = array.astype(np.promote_types(array.dtype, np.float64))
            broken = ~np.isfinite(wide) | (np.trunc(wide) != wide)
            self._refuse_any(broken, "inexact", array, "which is no integer")
            # 2**63 is a float64, 2**63 - 1 is none.
            self._refuse_any((wide < low) | (wide >= float(high + 1)), "range", array, rule)
        # Python's integers compare exactly across dtypes, with every release of NumPy.
        elif array.size and not low <= int(array.min()) <= int(array.max()) <= high:
            outside = [not low <= item <= high for item in array.reshape(-1).tolist()]
            self._refuse_any(np.array(outside).reshape(array.shape), "range", array, rule)
        return array.astype(self._dtype)

    def _to_bool(self, array: _Array) -> _Array:
        self._refuse_any((array != 0) & (array != 1), "inexact", array, "which is neither 0 nor 1")
        return array.astype(np.bool_)

    def _refuse_any(
        self, mask: npt.NDArray[np.bool_], kind: ViolationKind, array: _Array, rule: str
    ) -> None:
        for bad_element in bad_elements(mask, vector=self._vector):
            raise self._violation_at(kind, array[bad_element.index], bad_element.index, rule)

    def _blame_env_index(self, value: Any) -> None:
        """Raises for the first sub-environment to blame, where the value is a list."""
        if self._vector and is_row(value):
            if len(value) != self._shape[0]:
                raise self._violation("shape", f"{len(value)} sub-environments")
            for env_index, item in enumerate(value):
                Coercion(self._leaf, env_index)(item, None)

    def _note(self, number: Any, index: _Index, notes: Notes, more: str = "") -> None:
        if notes is not None:
            env_index, within = self._place(index)
            detail = f"{element(number, within)} is beyond {self._dtype.name}: it became infinite"
            notes.append(Deviation("overflow", self._leaf.path, env_index, detail + more))

    def _violation_at(
        self, kind: ViolationKind, number: Any, index: _Index, rule: str
    ) -> Violation:
        env_index, within = self._place(index)
        return self._violation(kind, f"{element(number, within)}, {rule}", env_index)

    def _violation(self, kind: ViolationKind, got: str, env_index: int | None = None) -> Violation:
        env_index = self._env_index if env_index is None else env_index
        expected = f"expected {self._dtype.name} of shape {self._shape}"
        return Violation(kind, self._leaf.path, env_index, f"{expected}, got {got}")

    def _place(self, index: _Index) -> tuple[int | None, _Index]:
        """The sub-environment of an element, and where it stands in it."""
        return (index[0], index[1:]) if self._vector else (self._env_index, index)


def _outline(value: Any, array: _Array) -> str:
    """What a value that is no array of numbers is."""
    if is_array(value):
        return f"an array of dtype {array.dtype}"
    if array.dtype.kind == "V":
        # JAX's bfloat16: a dtype that another library has added to NumPy's.
        return (
            f"{typename(value)} of dtype {array.dtype}; convert it first, to a dtype of NumPy such "
            f"as float32"
        )
    return typename(value)


def _said(error: Exception) -> str:
    """The message of an exception, without calling its methods: they may be foreign."""
    first = error.args[0] if error.args else None
    return first[:200] if type(first) is str else typename(error)


def _number(item: Any) -> Any:
    """The real number that an object is, None if it is none."""
    number: Any = item[()] if is_array(item) and item.shape == () else item
    kind = cast("type[object]", type(number))
    if not issubclass(kind, numbers.Number | np.bool_):
        return None
    if issubclass(kind, complex | np.complexfloating):
        return number.real if number.imag == 0 else None
    return number


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The smallest and the largest integer that an integer or bool dtype holds."""
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)
