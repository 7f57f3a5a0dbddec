"""Compiles the check that runs at every step: whether a slab needs a closer look at all.

The elements of small leaves are unpacked by `struct` and compared in one Python expression, which
takes a fraction of what a single call of NumPy costs. Larger leaves are checked in whole-array
operations. A comparison with NaN is false. Where NaN is rejected, the check asks whether every
element is within its bounds, and so finds NaN too; where it is delivered, whether one is outside.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from numpy import ndarray

from rlmesh.codec.checks.domains import NumericDomain, TextDomain
from rlmesh.codec.checks.policy import Nan
from rlmesh.codec.slab.protocols import Readable
from rlmesh.codec.slab.texts import compile_text_read
from rlmesh.compiled import step as compiled

__all__ = ["FastCheck", "compile_fast_check", "compile_fast_text_check"]

FastCheck: TypeAlias = Callable[[Readable, int], bool]
"""Takes a buffer and where the slab begins in it; returns whether every element is allowed."""

# More elements are compared faster by NumPy: than in Python, and than in C.
_FEW, _FEW_IN_C = 24, 256
_MOST_UNPACKED = 96
# More elements are read faster in one reduction than in a comparison and a search of its result.
_MANY = 8192


def compile_fast_check(
    domains: Sequence[NumericDomain], others: FastCheck | None = None
) -> FastCheck:
    """Compiles whether all numeric leaves hold what they may.

    Args:
        domains: The leaves.
        others: What else must hold.
    """
    small: list[list[NumericDomain]] = []
    probes: list[FastCheck] = []
    in_c: list[tuple[int, str, float, float, bool]] = []
    unpacked = _MOST_UNPACKED
    for domain in domains:
        if domain.low is None and domain.high is None and domain.nan is not Nan.REJECT:
            continue
        count = domain.leaf.count
        bounds = _bounds(domain) if compiled and 0 < count <= _FEW_IN_C else None
        if bounds is not None:
            in_c += bounds
            continue
        if not 0 < count <= _FEW:
            probes.append(_compile_probe(domain))
            continue
        unpacked += count
        if unpacked > _MOST_UNPACKED:
            small.append([])
            unpacked = count
        small[-1].append(domain)
    checks = [*map(_compile_comparison, small), *probes]
    if compiled and in_c:
        checks.insert(0, compiled.Check(tuple(in_c)).holds)
    if others is not None:
        checks.append(others)
    return _all_of(checks)


def _all_of(checks: list[FastCheck]) -> FastCheck:
    if not checks:
        return compiled.Check(()).holds if compiled else _holds_anyway
    first, *more = checks
    if not more:
        return first
    if len(more) == 1:
        [second] = more
        return lambda buffer, offset: first(buffer, offset) and second(buffer, offset)

    # A loop, and not one function around the other: a space may have thousands of leaves.
    def hold(buffer: Readable, offset: int) -> bool:
        for check in checks:  # noqa: SIM110 - `all` would add a generator
            if not check(buffer, offset):
                return False
        return True

    return hold


def _holds_anyway(_buffer: Readable, _offset: int) -> bool:
    return True


def compile_fast_text_check(domains: Sequence[TextDomain], size: int) -> FastCheck | None:
    """Compiles whether all text leaves hold what they may; None where there are none.

    Args:
        domains: All text leaves of a slab, in declared order.
        size: The bytes of the slab's fixed part.
    """
    checks = [(compile_text_read(domain.leaf), domain) for domain in domains]
    if not checks:
        return None

    def holds(buffer: Readable, offset: int) -> bool:
        tail = [offset + size, len(buffer)]
        for read, domain in checks:
            texts = read(buffer, offset, tail)
            if isinstance(texts, str):
                texts = (texts,)
            for text, rule in zip(texts, domain.rules, strict=True):
                if not rule.holds(text):
                    return False
        return True

    return holds


def _compile_comparison(domains: Sequence[NumericDomain]) -> FastCheck:
    """Compiles the comparison of every element of small leaves that may be wrong."""
    layout = "<"
    names: list[str] = []
    terms: list[str] = []
    end = 0
    for domain in domains:
        leaf = domain.leaf
        layout += f"{leaf.offset - end}x"
        end = leaf.end
        lows, highs = _each(domain.low, leaf.shape), _each(domain.high, leaf.shape)
        for low, high in zip(lows, highs, strict=True):
            name = f"v{len(names)}"
            term = _term(name, low, high, domain.nan)
            if term:
                layout += leaf.code
                names.append(name)
                terms.append(term)
            else:
                layout += f"{leaf.dtype.itemsize}x"
    source = (
        "def holds(buffer, offset):\n"
        f"    {', '.join(names)}, = unpack_from(buffer, offset)\n"
        f"    return {' and '.join(terms)}\n"
    )
    namespace: dict[str, Any] = {"unpack_from": struct.Struct(layout).unpack_from, "inf": math.inf}
    exec(source, namespace)  # noqa: S102 - it is made of numbers and of the names above
    return cast("FastCheck", namespace["holds"])


def _bounds(domain: NumericDomain) -> list[tuple[int, str, float, float, bool]] | None:
    """Offset, code, bounds and whether NaN is allowed, of every element that may be wrong.

    None where C cannot compare it.
    """
    leaf = domain.leaf
    if leaf.code == "e":
        return None
    found: list[tuple[int, str, float, float, bool]] = []
    least, most = _limits(leaf.dtype)
    lows, highs = _each(domain.low, leaf.shape), _each(domain.high, leaf.shape)
    for index, bounds in enumerate(zip(lows, highs, strict=True)):
        if not _term("v", *bounds, domain.nan):
            continue
        low, high = least if bounds[0] is None else bounds[0], bounds[1]
        high = most if high is None else high
        if not (least <= low <= most and least <= high <= most):
            return None
        offset = leaf.offset + index * leaf.dtype.itemsize
        found.append((offset, leaf.code, low, high, domain.nan is Nan.DELIVER))
    return found


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The least and the largest element of a dtype."""
    if dtype.kind == "f":
        return -math.inf, math.inf
    if dtype.kind == "b":
        return 0, 1
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _each(bound: npt.NDArray[Any] | None, shape: tuple[int, ...]) -> list[Any]:
    """The bound of every element in C order, None where there is none."""
    if bound is None:
        return [None] * math.prod(shape)
    bounds: list[Any] = np.broadcast_to(bound, shape).reshape(-1).tolist()
    return bounds


def _term(name: str, low: Any, high: Any, nan: Nan | None) -> str:
    """The comparison of one element; empty where nothing can be wrong with it."""
    left = "" if low is None or low == -math.inf else f"{low!r} <= "
    right = "" if high is None or high == math.inf else f" <= {high!r}"
    if left or right:
        within = left + name + right
        return f"({within} or {name} != {name})" if nan is Nan.DELIVER else within
    return f"{name} == {name}" if nan is Nan.REJECT else ""


def _compile_probe(domain: NumericDomain) -> FastCheck:
    """Compiles the check of one leaf in whole-array operations."""
    if domain.leaf.count <= _MANY:
        return _compile_medium_probe(domain)
    bounds = [bound for bound in (domain.low, domain.high) if bound is not None]
    if all(bound.ndim == 0 for bound in bounds):
        return _compile_uniform_probe(domain)
    dtype, offset, shape = domain.dtype, domain.leaf.offset, domain.leaf.shape
    low, high = domain.low, domain.high

    def holds(buffer: Readable, base: int) -> bool:
        array = ndarray(shape, dtype, buffer, base + offset)
        high_enough = low is None or bool((low <= array).all())
        return high_enough and (high is None or bool((array <= high).all()))

    def holds_or_is_nan(buffer: Readable, base: int) -> bool:
        array = ndarray(shape, dtype, buffer, base + offset)
        too_low = low is not None and bool((array < low).any())
        return not too_low and (high is None or not bool((array > high).any()))

    return holds_or_is_nan if domain.nan is Nan.DELIVER else holds


def _compile_uniform_probe(domain: NumericDomain) -> FastCheck:
    dtype, offset, shape = domain.dtype, domain.leaf.offset, (domain.leaf.count,)
    minimum, maximum = np.minimum.reduce, np.maximum.reduce
    least_number, largest_number = np.fmin.reduce, np.fmax.reduce
    ask_low = domain.low is not None or domain.high is None
    has_low, ask_high = domain.low is not None, domain.high is not None
    least = dtype.type(-math.inf) if domain.low is None and ask_low else _scalar(domain.low)
    most = _scalar(domain.high)

    # Both reductions give NaN where there is one.
    def holds(buffer: Readable, base: int) -> bool:
        array = ndarray(shape, dtype, buffer, base + offset)
        high_enough = not ask_low or bool(minimum(array) >= least)
        return high_enough and (not ask_high or bool(maximum(array) <= most))

    # These give NaN where there is nothing else.
    def holds_or_is_nan(buffer: Readable, base: int) -> bool:
        array = ndarray(shape, dtype, buffer, base + offset)
        too_low = has_low and bool(least_number(array) < least)
        return not too_low and not (ask_high and bool(largest_number(array) > most))

    return holds_or_is_nan if domain.nan is Nan.DELIVER else holds


def _compile_medium_probe(domain: NumericDomain) -> FastCheck:
    dtype, offset, shape = domain.dtype, domain.leaf.offset, (domain.leaf.count,)
    low, high = _flat(domain.low), _flat(domain.high)

    # To search the result for a zero byte takes a tenth of what its `all` takes.
    def is_high_enough(buffer: Readable, base: int) -> bool:
        array = ndarray(shape, dtype, buffer, base + offset)
        return 0 not in (low <= array).tobytes()

    def is_low_enough(buffer: Readable, base: int) -> bool:
        array = ndarray(shape, dtype, buffer, base + offset)
        return 0 not in (array <= high).tobytes()

    def is_between(buffer: Readable, base: int) -> bool:
        array = ndarray(shape, dtype, buffer, base + offset)
        return 0 not in (low <= array).tobytes() and 0 not in (array <= high).tobytes()

    def is_number(buffer: Readable, base: int) -> bool:
        array = ndarray(shape, dtype, buffer, base + offset)
        return 0 not in (array == array).tobytes()  # noqa: PLR0124 - NaN differs from itself

    def is_nowhere_outside(buffer: Readable, base: int) -> bool:
        array = ndarray(shape, dtype, buffer, base + offset)
        too_low = low is not None and 1 in (array < low).tobytes()
        return not too_low and (high is None or 1 not in (array > high).tobytes())

    if domain.nan is Nan.DELIVER:
        return is_nowhere_outside
    if low is not None and high is not None:
        return is_between
    if low is not None:
        return is_high_enough
    return is_number if high is None else is_low_enough


def _scalar(bound: npt.NDArray[Any] | None) -> Any:
    return None if bound is None else bound[()]


def _flat(bound: npt.NDArray[Any] | None) -> Any:
    return bound if bound is None or bound.ndim == 0 else bound.reshape(-1)
