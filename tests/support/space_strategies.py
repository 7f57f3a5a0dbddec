"""Hypothesis strategies for Gymnasium spaces of every kind, nested in each other."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from support.sample_spaces import FLOAT_DTYPES, INTEGER_DTYPES, keeping_order

Space = gymnasium.Space[Any]

# What Gymnasium can draw from without an overflow of its own.
_MODEST_REAL = 2.0**14
_MODEST_INTEGER = 2**62


def gymnasium_spaces(*, sampleable: bool = False, max_leaves: int = 6) -> st.SearchStrategy[Space]:
    """Spaces of every kind that RLMesh carries, up to the limits of their dtypes.

    Args:
        sampleable: Whether `sample()` must work: Gymnasium's fails for some extreme bounds.
        max_leaves: About how many spaces that are no containers one space holds.
    """
    return st.recursive(leaves(sampleable=sampleable), _containers, max_leaves=max_leaves)


def leaves(*, sampleable: bool = False) -> st.SearchStrategy[Space]:
    """Spaces that are no containers."""
    return st.one_of(
        boxes(sampleable=sampleable),
        discretes(sampleable=sampleable),
        multi_discretes(sampleable=sampleable),
        multi_binaries(),
        texts(),
    )


@st.composite
def boxes(draw: st.DrawFn, *, sampleable: bool = False) -> Box:
    """Boxes with uniform and with array bounds, of every dtype."""
    dtype: np.dtype[Any] = np.dtype(draw(st.sampled_from(("bool", *INTEGER_DTYPES, *FLOAT_DTYPES))))
    shape = draw(_shapes())
    one, other = (draw(_arrays(dtype, shape, sampleable)) for _ in range(2))
    low, high = np.where(one <= other, one, other), np.where(one <= other, other, one)
    if sampleable and dtype.kind == "f":
        # NumPy 2.5 draws nothing between 0.0 and -0.0; the sum turns -0.0 into 0.0.
        low, high = low + dtype.type(0), high + dtype.type(0)
    box = Box(low, high, dtype=dtype.type)
    if dtype.kind == "i":
        # What Gymnasium makes of bounds of -inf and inf, which an integer array cannot hold.
        limits = np.iinfo(dtype.name)
        box.bounded_below, box.bounded_above = (
            draw(hnp.arrays(np.bool_, shape, fill=st.booleans())) for _ in range(2)
        )
        box.low[~box.bounded_below] = limits.min
        box.high[~box.bounded_above] = limits.max
    return box


@st.composite
def discretes(draw: st.DrawFn, *, sampleable: bool = False) -> Discrete[Any]:
    """Discretes of every dtype and with any start."""
    dtype: np.dtype[Any] = np.dtype(draw(st.sampled_from(INTEGER_DTYPES)))
    n, start = draw(_ranges(dtype, sampleable))
    return Discrete(n, start=start, dtype=dtype.type)


@st.composite
def multi_discretes(draw: st.DrawFn, *, sampleable: bool = False) -> MultiDiscrete[Any]:
    """MultiDiscretes of every dtype, with any start and up to three axes."""
    dtype: np.dtype[Any] = np.dtype(draw(st.sampled_from(INTEGER_DTYPES)))
    shape = draw(_shapes(min_dims=1))
    size = int(np.prod(shape))
    pairs = draw(st.lists(_ranges(dtype, sampleable), min_size=size, max_size=size))
    nvec, start = (
        np.array([pair[index] for pair in pairs], dtype).reshape(shape) for index in (0, 1)
    )
    return MultiDiscrete(nvec, dtype.type, start=start)


def multi_binaries() -> st.SearchStrategy[MultiBinary]:
    """MultiBinaries whose n is a number, or a shape."""
    sides = st.integers(1, 4)
    return st.builds(MultiBinary, st.one_of(sides, st.lists(sides, max_size=3).map(tuple)))


@st.composite
def texts(draw: st.DrawFn) -> Text:
    """Texts with the default charset, and with charsets of any characters."""
    lengths = draw(st.tuples(st.integers(0, 8), st.integers(0, 8)))
    least, most = min(lengths), max(lengths)
    charset = draw(
        st.one_of(
            st.none(), st.text(min_size=1), st.frozensets(st.characters(codec="utf-8"), min_size=1)
        )
    )
    if charset is None:
        return Text(most, min_length=least)
    if isinstance(charset, str):
        charset = "".join(dict.fromkeys(charset))  # releases before 1.4 keep what comes twice
    return Text(most, min_length=least, charset=charset)


def _containers(children: st.SearchStrategy[Space]) -> st.SearchStrategy[Space]:
    mappings = st.dictionaries(st.text(max_size=6), children, max_size=4)
    return st.one_of(
        st.lists(children, max_size=4).map(Tuple),
        mappings.map(Dict),
        mappings.map(OrderedDict).map(Dict),
        mappings.map(keeping_order),
    )


def _shapes(min_dims: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    return hnp.array_shapes(min_dims=min_dims, max_dims=3, min_side=0, max_side=3)


def _arrays(
    dtype: np.dtype[Any], shape: tuple[int, ...], sampleable: bool
) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    elements: st.SearchStrategy[Any]
    if dtype.kind == "f":
        width: Any = 8 * dtype.itemsize
        reals = st.floats(-_MODEST_REAL, _MODEST_REAL, width=width)
        infinities = st.sampled_from((-np.inf, np.inf))
        elements = reals | infinities if sampleable else st.floats(width=width, allow_nan=False)
    elif dtype.kind == "b":
        elements = st.booleans()
    else:
        low, high = _limits(dtype, sampleable)
        elements = st.integers(low, high)
    # One value for all, or one for each.
    uniform = elements.map(lambda value: np.full(shape, value, dtype))
    return uniform | hnp.arrays(dtype, shape, elements=elements, fill=st.nothing())


def _ranges(dtype: np.dtype[Any], sampleable: bool) -> st.SearchStrategy[tuple[int, int]]:
    """A count and a start whose values the dtype holds."""
    low, high = _limits(dtype, sampleable)
    counts = st.integers(1, high) | st.integers(1, min(high, 5))
    return counts.flatmap(lambda n: st.tuples(st.just(n), st.integers(low, high - n + 1)))


def _limits(dtype: np.dtype[Any], sampleable: bool) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    return (max(low, -_MODEST_INTEGER), min(high, _MODEST_INTEGER)) if sampleable else (low, high)
