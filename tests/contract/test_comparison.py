"""What contracts differ in, and which differences break a client."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlmesh.contract import ContractDifference, compare_contracts, read_contract
from rlmesh.contract.space_comparison import Role
from rlmesh.spaces import (
    Box,
    Dict,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Space,
    Text,
    Tuple,
    from_gymnasium_space,
    to_gymnasium_space,
)
from rlmesh_api.contract import AutoresetMode, EnvContract, EnvSpec
from support.contracts import COIN, a_contract, fully_set, variations
from support.pages import code, tables
from support.sample_envs import echo_vector
from support.sample_spaces import SAMPLE_SPACES
from support.space_strategies import gymnasium_spaces

PAGE = "docs/contracts.md"
WORDS = {True: "breaking", False: "compatible"}
ROLES: tuple[Role, ...] = ("observation", "action")
BOX = Box([-1.0, -2.0], [1.0, 2.0])
INTEGERS = Box(0, 9, (2,), "int8")


def unbounded(low: Any, high: Any) -> Box:
    return Box(low, high, (2,), "int8")


# Aspect, an older and a newer space, and whether it breaks a client of observations, of actions.
SPACES: list[tuple[str, Space, Space, bool, bool]] = [
    ("space", COIN, BOX, True, True),
    ("space", MultiBinary(2), MultiDiscrete([2, 2], "int8"), True, True),
    ("dtype", BOX, Box([-1.0, -2.0], [1.0, 2.0], dtype="float64"), True, True),
    ("dtype", COIN, Discrete(2, dtype="int32"), True, True),
    ("dtype", MultiDiscrete([2, 3]), MultiDiscrete([2, 3], "int8"), True, True),
    ("shape", INTEGERS, Box(0, 9, (2, 1), "int8"), True, True),
    ("shape", MultiBinary(2), MultiBinary(3), True, True),
    ("shape", MultiDiscrete([2, 2]), MultiDiscrete([2]), True, True),
    ("bounds", BOX, Box([-1.0, -1.0], [0.5, 2.0]), False, True),
    ("bounds", BOX, Box([-1.0, -2.0], [1.0, float("inf")]), True, False),
    ("bounds", BOX, Box([-1.5, -2.0], [0.5, 2.0]), True, True),
    ("bounds", Box(0, 2**64 - 1, (1,), "uint64"), Box(0, 2**64 - 2, (1,), "uint64"), False, True),
    ("bounds", Box(0.0, 1.0), Box(-0.0, 1.0), False, False),
    ("values", Discrete(3), Discrete(2), False, True),
    ("values", Discrete(3), Discrete(4), True, False),
    ("values", Discrete(3), Discrete(5, -1), True, False),
    ("values", Discrete(3), Discrete(3, 1), True, True),
    ("values", MultiDiscrete([3, 4]), MultiDiscrete([3, 2]), False, True),
    ("values", MultiDiscrete([3, 4]), MultiDiscrete([3, 5]), True, False),
    ("values", MultiDiscrete([3, 4]), MultiDiscrete([2, 5]), True, True),
    ("values", MultiDiscrete([3, 4]), MultiDiscrete([3, 4], start=[0, 1]), True, True),
    ("length", Text(5), Text(4), False, True),
    ("length", Text(5), Text(5, min_length=0), True, False),
    ("length", Text(5, min_length=2), Text(4), True, True),
    ("charset", Text(5), Text(5, charset="ab"), False, True),
    ("charset", Text(5, charset="ab"), Text(5, charset="abc"), True, False),
    ("charset", Text(5, charset="ab"), Text(5, charset="bc"), True, True),
    ("charset", Text(5, charset="ab"), Text(5, charset="ba"), False, False),
    ("parts", Tuple([COIN]), Tuple([COIN, COIN]), True, True),
    ("keys", Dict({"a": COIN}), Dict({"a": COIN, "b": COIN}), True, True),
    ("keys", Dict({"a": COIN, "b": COIN}), Dict({"a": COIN}), True, True),
    (
        "order of keys",
        Dict({"a": COIN, "b": COIN}, keep_order=True),
        Dict({"b": COIN, "a": COIN}),
        True,
        True,
    ),
    (
        "keep_order",
        Dict({"a": COIN}, keep_order=False),
        Dict({"a": COIN}, keep_order=True),
        False,
        False,
    ),
    ("bounded_below", unbounded(-128, 9), unbounded(-float("inf"), 9), False, False),
    ("bounded_above", unbounded(0, 127), unbounded(0, float("inf")), False, False),
    ("flat", MultiBinary(2), MultiBinary((2,)), False, False),
]

SPEC = EnvSpec(id="E-v0", kwargs={"size": 5})


def with_spec(**changes: Any) -> EnvContract:
    return a_contract(spec=dataclasses.replace(SPEC, **changes))


VECTOR = a_contract(vector=True, num_envs=2)

# Aspect, place, an older and a newer contract, and whether it breaks a client.
FIELDS: list[tuple[str, str, EnvContract, EnvContract, bool]] = [
    ("id", "$.id", a_contract(), a_contract(id="E-v1"), True),
    ("id", "$.id", a_contract(id="UnknownEnv-v1"), a_contract(), False),
    ("id", "$.spec.id", with_spec(), with_spec(id="E-v1"), True),
    ("vector", "$.vector", a_contract(), a_contract(vector=True), True),
    ("num_envs", "$.num_envs", VECTOR, dataclasses.replace(VECTOR, num_envs=3), True),
    (
        "autoreset_mode",
        "$.autoreset_mode",
        VECTOR,
        dataclasses.replace(VECTOR, autoreset_mode=AutoresetMode.DISABLED),
        True,
    ),
    ("render_mode", "$.render_mode", a_contract(), a_contract(render_mode="ansi"), False),
    (
        "render_mode",
        "$.render_mode",
        a_contract(render_mode="ansi"),
        a_contract(render_mode="rgb_array"),
        True,
    ),
    ("render_mode", "$.render_mode", a_contract(render_mode="ansi"), a_contract(), True),
    (
        "metadata",
        "$.metadata.render_fps",
        a_contract(metadata={"render_fps": 50}),
        a_contract(metadata={"render_fps": 30}),
        False,
    ),
    ("metadata", '$.metadata["a b"]', a_contract(), a_contract(metadata={"a b": None}), False),
    ("spec", "$.spec", a_contract(), with_spec(), False),
    ("spec", "$.spec", with_spec(), a_contract(), True),
    (
        "spec.reward_threshold",
        "$.spec.reward_threshold",
        with_spec(),
        with_spec(reward_threshold=1.0),
        False,
    ),
    (
        "spec.max_episode_steps",
        "$.spec.max_episode_steps",
        with_spec(max_episode_steps=5),
        with_spec(),
        False,
    ),
    (
        "spec.disable_env_checker",
        "$.spec.disable_env_checker",
        with_spec(),
        with_spec(disable_env_checker=True),
        False,
    ),
    (
        "spec.nondeterministic",
        "$.spec.nondeterministic",
        with_spec(),
        with_spec(nondeterministic=True),
        True,
    ),
    (
        "spec.nondeterministic",
        "$.spec.nondeterministic",
        with_spec(nondeterministic=True),
        with_spec(),
        False,
    ),
    (
        "spec.order_enforce",
        "$.spec.order_enforce",
        with_spec(),
        with_spec(order_enforce=True),
        True,
    ),
    (
        "spec.order_enforce",
        "$.spec.order_enforce",
        with_spec(order_enforce=True),
        with_spec(),
        False,
    ),
    ("spec.kwargs", "$.spec.kwargs.size", with_spec(), with_spec(kwargs={"size": 6}), False),
    (
        "batched_observation_space",
        "$.batched_observation_space",
        VECTOR,
        dataclasses.replace(VECTOR, batched_observation_space=MultiDiscrete([2, 2])),
        False,
    ),
    (
        "batched_action_space",
        "$.batched_action_space",
        VECTOR,
        dataclasses.replace(VECTOR, batched_action_space=MultiDiscrete([2, 2])),
        False,
    ),
    *[
        ("delivers_nan", "$.delivers_nan", *pair, breaking)
        for space, breaking in (
            (BOX, True),
            (Dict({"a": Tuple([COIN, BOX])}), True),
            (INTEGERS, False),
            (Tuple([COIN, INTEGERS]), False),
        )
        for pair in (
            (
                a_contract(observation_space=space),
                a_contract(observation_space=space, delivers_nan=True),
            ),
            (
                a_contract(action_space=space, delivers_nan=True),
                a_contract(action_space=space),
            ),
        )
    ],
    *[
        ("delivers_nan", "$.delivers_nan", *pair, False)
        for pair in (
            (a_contract(action_space=BOX), a_contract(action_space=BOX, delivers_nan=True)),
            (
                a_contract(observation_space=BOX, delivers_nan=True),
                a_contract(observation_space=BOX),
            ),
        )
    ],
]


def breaks(space: Space, other: Space, role: Role) -> bool:
    return any(d.breaking for d in in_role(space, other, role))


def in_role(old: Space, new: Space, role: Role) -> tuple[ContractDifference, ...]:
    name = f"{role}_space"
    return compare_contracts(a_contract(**{name: old}), a_contract(**{name: new}))


@pytest.mark.parametrize(("aspect", "old", "new", "observation", "action"), SPACES)
def test_a_difference_of_spaces_breaks_whom_the_page_says(
    aspect: str, old: Space, new: Space, observation: bool, action: bool
) -> None:
    for role, breaking in zip(ROLES, (observation, action), strict=True):
        [difference] = in_role(old, new, role)
        assert difference.aspect == aspect
        assert difference.place == f"$.{role}_space"
        assert difference.breaking is breaking
        assert difference.old != difference.new


@pytest.mark.parametrize(("aspect", "place", "old", "new", "breaking"), FIELDS)
def test_a_difference_of_fields_breaks_whom_the_page_says(
    aspect: str, place: str, old: EnvContract, new: EnvContract, breaking: bool
) -> None:
    [difference] = compare_contracts(old, new)
    assert (difference.aspect, difference.place) == (aspect, place)
    assert difference.breaking is breaking
    assert str(difference) == f"{place}: {aspect} was {difference.old}, is {difference.new}"


def test_the_page_lists_what_is_compared_in_spaces() -> None:
    listed = {
        (code(aspect)[0], observation, action)
        for aspect, _, observation, action in tables(PAGE)["What breaks a client: Aspect"]
    }
    found = {(aspect, WORDS[seen], WORDS[sent]) for aspect, _, _, seen, sent in SPACES}
    assert listed == found


def test_the_page_lists_what_is_compared_beside_spaces() -> None:
    listed = {
        (name, verdict)
        for fields, _, verdict in tables(PAGE)["What breaks a client: Field"]
        for name in code(fields)
    }
    found = {(aspect, WORDS[breaking]) for aspect, _, _, _, breaking in FIELDS}
    assert listed == found


def test_a_difference_deep_in_a_space_is_told_by_its_place() -> None:
    old = Dict({"arm": Tuple([COIN, Box(-1.0, 1.0)]), "two words": COIN})
    new = Dict({"arm": Tuple([COIN, Box(-1.0, 2.0)]), "two words": Discrete(3)})
    told = [(d.place, d.aspect) for d in in_role(old, new, "action")]
    assert told == [
        ("$.action_space.arm[1]", "bounds"),
        ('$.action_space["two words"]', "values"),
    ]


def test_the_common_keys_are_compared_where_others_are_new() -> None:
    old, new = Dict({"a": COIN}), Dict({"a": Discrete(3), "b": COIN})
    assert [d.aspect for d in in_role(old, new, "observation")] == ["keys", "values"]


def test_a_long_text_is_cut() -> None:
    old = a_contract(metadata={"long": "x" * 10_000})
    [difference] = compare_contracts(old, a_contract())
    assert len(difference.old) < 300
    assert difference.new == "absent"


def test_metadata_in_another_order_is_no_difference() -> None:
    old = a_contract(metadata={"a": {"x": 1, "y": [2]}, "b": 2})
    assert compare_contracts(old, a_contract(metadata={"b": 2, "a": {"y": [2], "x": 1}})) == ()


def test_metadata_of_another_type_is_a_difference() -> None:
    old = a_contract(metadata={"a": [1]})
    assert len(compare_contracts(old, a_contract(metadata={"a": [1.0]}))) == 1


def test_sub_envs_whose_bounds_grow_break_who_observes_them() -> None:
    old = read_contract(echo_vector("box", 2))
    batched = from_gymnasium_space(echo_vector("box", 2).observation_space)
    assert isinstance(batched, Box)
    wider = Box(-float("inf"), float("inf"), batched.shape, batched.dtype.value)
    new = dataclasses.replace(old, batched_observation_space=wider, batched_action_space=wider)
    told = [(d.place, d.aspect, d.breaking) for d in compare_contracts(old, new)]
    assert told == [
        ("$.batched_observation_space", "bounds", True),
        ("$.batched_action_space", "bounds", False),
    ]


@pytest.mark.parametrize("name", SAMPLE_SPACES)
def test_a_contract_does_not_differ_from_itself(name: str) -> None:
    contract = a_contract(observation_space=from_gymnasium_space(SAMPLE_SPACES[name]))
    assert compare_contracts(contract, EnvContract.from_json(contract.to_json())) == ()


def test_every_change_of_every_field_is_a_difference() -> None:
    contract = dataclasses.replace(fully_set(), batched_observation_space=None)
    for other in variations(contract)[1]:
        assert compare_contracts(contract, other)


spaces: st.SearchStrategy[Space] = gymnasium_spaces(sampleable=True, max_leaves=3).map(
    from_gymnasium_space
)


def samples(space: Space, count: int = 5) -> list[Any]:
    sampled = to_gymnasium_space(space)
    sampled.seed(0)
    try:
        drawn = [sampled.sample() for _ in range(count)]
    except (OverflowError, ValueError):  # bounds that Gymnasium cannot draw between
        return []
    # It draws beyond the bounds of an integer Box that calls them none.
    return [value for value in drawn if sampled.contains(value)]


# What Gymnasium samples from a Box of shape () is a scalar, between infinite bounds it is NaN.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*Casting input x to numpy array")
@settings(max_examples=60)
@given(spaces)
def test_what_is_compatible_holds_for_every_value(space: Space) -> None:
    """A client of the older space takes all observations, and has all of its actions taken."""
    contract = a_contract(observation_space=space)
    held = to_gymnasium_space(space)
    own = samples(space)
    for other in variations(contract)[1]:
        new = other.observation_space
        if new == space:
            continue
        if not breaks(space, new, "observation"):
            assert all(held.contains(value) for value in samples(new))
        if not breaks(space, new, "action"):
            grown = to_gymnasium_space(new)
            assert all(grown.contains(value) for value in own)


@settings(max_examples=60)
@given(spaces)
def test_a_difference_that_is_compatible_both_ways_changes_no_value(space: Space) -> None:
    for other in variations(a_contract(observation_space=space))[1]:
        new = other.observation_space
        there, back = (breaks(*pair, "observation") for pair in ((space, new), (new, space)))
        sent, returned = (breaks(*pair, "action") for pair in ((space, new), (new, space)))
        # What shrinks one way grows the other way.
        assert (there, back) == (returned, sent)
