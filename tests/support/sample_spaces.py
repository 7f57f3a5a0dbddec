"""The catalogue of sample spaces that every test of spaces and values runs over.

Spaces hold a random state: a test that samples seeds its space first, or takes a copy of it.
"""

from __future__ import annotations

import string
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)

Space = gymnasium.Space[Any]

INTEGER_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
BOOL: Any = np.bool_  # Gymnasium carries it, but its annotations do not
FLOAT_DTYPES = ("float16", "float32", "float64")


def keeping_order(spaces: dict[str, Space]) -> Dict:
    """A Dict of unsorted keys; releases of Gymnasium before 1.4 know no `sort_keys`."""
    space = Dict(OrderedDict(spaces))
    space.sort_keys = False
    return space


def nested(depth: int) -> Space:
    """A Discrete inside of that many containers, Dicts and Tuples in turn."""
    space: Space = Discrete(2)
    for level in range(depth):
        space = Dict({"in": space}) if level % 2 else Tuple([space])
    return space


def _boxes() -> dict[str, Space]:
    spaces: dict[str, Space] = {
        "box_default": Box(-1.0, 1.0),
        "box_matrix": Box(0.0, 1.0, (2, 3)),
        "box_scalar": Box(-2.5, 7.5, ()),
        "box_empty_axis": Box(0.0, 1.0, (2, 0, 3)),
        "box_empty": Box(0, 9, (0,), np.int16),
        "box_one_element": Box(3.0, 4.0, (1, 1, 1)),
        "box_point": Box(0.25, 0.25, (2,)),
        "box_negative_zero": Box(-0.0, 0.0, (2,)),
        "box_zeros_of_both_signs": Box(
            np.array([-0.0, 0.0], np.float32), np.array([0.0, 0.0], np.float32)
        ),
        "box_unbounded": Box(-np.inf, np.inf, (3,), np.float64),
        "box_bounded_below": Box(-3.0, np.inf, (2,)),
        "box_bounded_above": Box(-np.inf, 3.0, (2,)),
        "box_infinite_points": Box(np.inf, np.inf, (2,)),
        "box_array_bounds": Box(
            np.array([-1.0, -2.0], np.float32), np.array([0.5, np.inf], np.float32)
        ),
        "box_array_low": Box(np.array([[-1.0], [0.0]], np.float32), 2.0),
        "box_array_high": Box(-2.0, np.array([[-1.0], [0.0]], np.float32)),
        "box_mixed_infinities": Box(
            np.array([-np.inf, -np.inf, 0.0, 0.0]),
            np.array([np.inf, 0.0, np.inf, 1.0]),
            None,
            np.float64,
        ),
        "box_rounded_bounds": Box(0.1, 1 / 3, (2,)),
        "box_subnormal": Box(5e-324, 1e-310, (2,), np.float64),
        "box_fortran_order": Box(
            np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)), np.inf
        ),
        "box_bool": Box(0, 1, (3,), BOOL),
        "box_bool_array": Box(
            np.array([False, True], BOOL), np.array([True, True], BOOL), dtype=BOOL
        ),
        "box_bool_scalar": Box(0, 1, (), BOOL),
        "box_image": Box(0, 255, (4, 4, 3), np.uint8),
        "box_integer_unbounded": Box(-np.inf, np.inf, (2,), np.int32),
        "box_integer_bounded_below": Box(0, np.inf, (2,), np.int64),
        "box_integer_bounded_above": Box(-np.inf, 0, (2,), np.int8),
        "box_integer_mixed_infinities": Box(
            np.array([-np.inf, -np.inf, -7.0]), np.array([5.0, np.inf, np.inf]), None, np.int16
        ),
        "box_int64_neighbours": Box(2**62, 2**62 + 1, (2,), np.int64),
        "box_uint64_upper_half": Box(2**63, 2**64 - 1, (2,), np.uint64),
    }
    for dtype in INTEGER_DTYPES:
        limits = np.iinfo(dtype)
        spaces[f"box_{dtype}_extremes"] = Box(
            int(limits.min), int(limits.max), (2,), np.dtype(dtype).type
        )
    for dtype in FLOAT_DTYPES:
        finite = np.finfo(dtype)
        spaces[f"box_{dtype}_extremes"] = Box(
            float(finite.min), float(finite.max), (2,), np.dtype(dtype).type
        )
    return spaces


def _discretes() -> dict[str, Space]:
    spaces: dict[str, Space] = {
        "discrete": Discrete(5),
        "discrete_one_value": Discrete(1),
        "discrete_negative_start": Discrete(3, start=-1),
        "discrete_positive_start": Discrete(3, start=100),
        "discrete_largest_n": Discrete(2**63 - 1),
        "discrete_up_to_the_largest": Discrete(2, start=2**63 - 2),
        "discrete_from_the_least": Discrete(2, start=-(2**63)),
        "discrete_uint64_up_to_the_largest": Discrete(2, start=2**64 - 2, dtype=np.uint64),
        "discrete_uint64_largest_n": Discrete(2**64 - 1, dtype=np.uint64),
        "multi_discrete": MultiDiscrete([3, 4, 5]),
        "multi_discrete_uniform": MultiDiscrete([3, 3, 3]),
        "multi_discrete_one_value": MultiDiscrete([1]),
        "multi_discrete_start": MultiDiscrete([3, 4], start=[-2, 10]),
        "multi_discrete_matrix": MultiDiscrete(np.array([[2, 3], [4, 5], [6, 7]])),
        "multi_discrete_matrix_start": MultiDiscrete(
            np.array([[2, 3], [4, 5]]), np.int32, start=np.array([[0, -1], [1, 2]], np.int32)
        ),
        "multi_discrete_extremes": MultiDiscrete([2, 2], start=[-(2**63), 2**63 - 2]),
        "multi_discrete_empty": MultiDiscrete(np.zeros((0,), np.int64)),
        "multi_discrete_empty_axis": MultiDiscrete(np.zeros((2, 0), np.int64)),
        "multi_discrete_three_axes": MultiDiscrete(np.full((2, 1, 2), 3)),
        "multi_binary": MultiBinary(5),
        "multi_binary_one": MultiBinary(1),
        "multi_binary_shaped": MultiBinary((2, 3)),
        "multi_binary_one_axis": MultiBinary([4]),
        "multi_binary_scalar": MultiBinary(()),
    }
    for dtype in INTEGER_DTYPES:
        kind = np.dtype(dtype).type
        spaces[f"discrete_{dtype}"] = Discrete(4, start=2, dtype=kind)
        spaces[f"multi_discrete_{dtype}"] = MultiDiscrete([2, 3], kind, start=[0, 1])
    return spaces


def _texts() -> dict[str, Space]:
    return {
        "text": Text(8),
        "text_may_be_empty": Text(4, min_length=0),
        "text_always_empty": Text(0, min_length=0),
        "text_fixed_length": Text(3, min_length=3),
        "text_digits": Text(6, charset=string.digits),
        "text_unsorted_charset": Text(6, charset="zayb"),
        "text_charset_of_a_set": Text(6, charset=frozenset("zayb")),
        "text_default_characters_in_another_order": Text(
            6, charset=string.digits + string.ascii_letters
        ),
        "text_unicode": Text(5, min_length=2, charset="äß 漢字🦊\n\x00"),
        "text_no_characters": Text(0, min_length=0, charset=""),
    }


def _containers() -> dict[str, Space]:
    return {
        "tuple": Tuple([Discrete(2), Box(-1.0, 1.0, (2,))]),
        "tuple_empty": Tuple([]),
        "tuple_nested": Tuple([Tuple([Discrete(2)]), Tuple([]), Dict({"a": Text(3)})]),
        "dict": Dict({"position": Box(-1.0, 1.0, (2,)), "color": Discrete(3)}),
        "dict_empty": Dict(),
        "dict_empty_keeping_order": keeping_order({}),
        "dict_ordered": Dict(OrderedDict([("z", Discrete(2)), ("a", Discrete(3))])),
        "dict_of_pairs": Dict([("z", Discrete(2)), ("a", Discrete(3))]),
        "dict_keeping_order": keeping_order({"z": Discrete(2), "a": Discrete(3)}),
        "dict_keys": Dict({"": Discrete(2), "two words": Discrete(3), "ключ.[0]": Discrete(4)}),
        "dict_nested": Dict(
            {
                "arm": Tuple([Box(-1.0, 1.0, ()), MultiBinary(2)]),
                "goal": Dict(
                    {"text": Text(5, min_length=0), "grid": MultiDiscrete(np.array([[2, 3]]))}
                ),
                "nothing": Dict(),
            }
        ),
        "dict_of_all": Dict(
            {
                "box": Box(0, 255, (2, 2, 3), np.uint8),
                "dict": keeping_order({"b": Discrete(2), "a": Box(0.0, 1.0, ())}),
                "discrete": Discrete(4, start=-2, dtype=np.int16),
                "multi_binary": MultiBinary((2, 2)),
                "multi_discrete": MultiDiscrete([2, 3], start=[5, 6]),
                "text": Text(4, charset="ab"),
                "tuple": Tuple([Discrete(2), Text(3)]),
            }
        ),
        "nested_deeply": nested(32),
    }


SAMPLE_SPACES: Mapping[str, Space] = {
    **_boxes(),
    **_discretes(),
    **_texts(),
    **_containers(),
}
"""By name: every kind, every dtype, and the edges of each."""

UNSUPPORTED_SPACES: Mapping[str, Space] = {
    "Graph": Graph(Box(-1.0, 1.0, (2,)), Discrete(3)),
    "Sequence": Sequence(Discrete(2)),
    "OneOf": OneOf([Discrete(2), Box(-1.0, 1.0)]),
}
"""By the name of their class: Gymnasium's spaces that RLMesh does not carry."""

UNSAMPLEABLE = frozenset({"box_float64_extremes", "box_uint64_upper_half"})
"""The names of sample spaces from which Gymnasium cannot draw: its arithmetic overflows."""
