"""The generated contract classes: nothing is lost on any way, and reading is strict."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmesh_api.contract import (
    AutoresetMode,
    BoxSpace,
    DictEntry,
    DictSpace,
    DiscreteSpace,
    Dtype,
    EnvContract,
    EnvSpec,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TextSpace,
    TupleSpace,
)
from rlmesh_api.v1 import contract_pb2, env_service_pb2, space_pb2

pytestmark = pytest.mark.usefixtures("generated_arms")

COIN = DiscreteSpace(n=2, dtype=Dtype.INT64)

sizes = st.integers(0, 2**64 - 1)
shapes = st.lists(sizes, max_size=3).map(tuple)
flags = st.lists(st.booleans(), max_size=3).map(tuple)
texts = st.text(max_size=5)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
many_numbers = st.lists(numbers, max_size=3).map(tuple)
dtypes = st.sampled_from(list(Dtype))

leaves = st.one_of(
    st.builds(
        BoxSpace,
        dtype=dtypes,
        shape=shapes,
        low=many_numbers,
        high=many_numbers,
        bounded_below=flags,
        bounded_above=flags,
    ),
    st.builds(DiscreteSpace, n=sizes, start=numbers, dtype=dtypes),
    st.builds(MultiBinarySpace, shape=shapes, flat=st.booleans()),
    st.builds(MultiDiscreteSpace, shape=shapes, nvec=shapes, start=many_numbers, dtype=dtypes),
    st.builds(TextSpace, min_length=sizes, max_length=sizes, charset=st.none() | texts),
)


def containers(spaces: st.SearchStrategy[Space]) -> st.SearchStrategy[Space]:
    entries = st.builds(DictEntry, key=texts, space=spaces)
    return st.one_of(
        st.builds(TupleSpace, spaces=st.lists(spaces, max_size=3).map(tuple)),
        st.builds(
            DictSpace, entries=st.lists(entries, max_size=3).map(tuple), keep_order=st.booleans()
        ),
    )


spaces = st.recursive(leaves, containers, max_leaves=5)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts, st.binary()
)
keys = texts | texts.map("${}".format)


def value_containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(values, max_size=3)
    return lists | lists.map(tuple) | st.dictionaries(keys, values, max_size=3)


values = st.recursive(scalars, value_containers, max_leaves=5)
value_dicts = st.dictionaries(keys, values, max_size=3)

specs = st.builds(
    EnvSpec,
    id=texts,
    reward_threshold=st.none() | st.floats(allow_nan=False),
    nondeterministic=st.booleans(),
    max_episode_steps=st.none() | sizes,
    kwargs=value_dicts,
)
contracts = st.builds(
    EnvContract,
    id=texts,
    vector=st.booleans(),
    observation_space=spaces,
    action_space=spaces,
    num_envs=st.integers(0, 2**32 - 1),
    autoreset_mode=st.none() | st.sampled_from(list(AutoresetMode)),
    render_mode=st.none() | texts,
    metadata=value_dicts,
    spec=st.none() | specs,
    batched_action_space=st.none() | spaces,
)


def strict_json(contract: EnvContract) -> str:
    return json.dumps(contract.to_dict(), allow_nan=False)


def a_contract(**changes: Any) -> EnvContract:
    fields: dict[str, Any] = {"id": "E-v0", "num_envs": 1}
    fields |= {"observation_space": COIN, "action_space": COIN}
    return EnvContract(**(fields | changes))


def in_metadata(value: object) -> EnvContract:
    return a_contract(metadata={"it": value})


@given(contracts)
def test_a_contract_survives_json(contract: EnvContract) -> None:
    assert EnvContract.from_dict(json.loads(strict_json(contract))) == contract


@given(contracts)
def test_a_contract_survives_the_wire(contract: EnvContract) -> None:
    wire = contract.to_proto().SerializeToString()
    assert EnvContract.from_proto(contract_pb2.EnvContract.FromString(wire)) == contract


@given(values)
def test_plain_values_keep_their_types(value: object) -> None:
    contract = in_metadata(value)
    for read in (
        EnvContract.from_dict(json.loads(strict_json(contract))),
        EnvContract.from_proto(contract.to_proto()),
    ):
        assert repr(read.metadata["it"]) == repr(value)


def test_a_value_that_is_no_number_stays_one() -> None:
    contract = in_metadata([math.nan])
    assert contract.to_dict()["metadata"] == {"it": [{"$float": "NaN"}]}
    for read in (
        EnvContract.from_dict(contract.to_dict()),
        EnvContract.from_proto(contract.to_proto()),
    ):
        assert math.isnan(read.metadata["it"][0])


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ((1, 2), {"$tuple": [1, 2]}),
        (b"hi", {"$bytes": "aGk="}),
        (-math.inf, {"$float": "-Infinity"}),
        ({"$a": 1, "b": 2}, {"$dict": [["$a", 1], ["b", 2]]}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_what_json_lacks_is_tagged(value: object, data: object) -> None:
    assert in_metadata(value).to_dict()["metadata"]["it"] == data


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (0, "integer"),
        (2**63 - 1, "integer"),
        (2**63, "natural"),
        (1.0, "real"),
        (-math.inf, "real"),
        (True, "integer"),
    ],
)
def test_a_number_travels_in_the_kind_that_holds_it(number: float, kind: str) -> None:
    message = DiscreteSpace(n=1, start=number, dtype=Dtype.INT64).to_proto()
    assert message.discrete.start.WhichOneof("value") == kind


def test_infinite_bounds_are_texts_in_json() -> None:
    box = BoxSpace(dtype=Dtype.FLOAT32, shape=(), low=(-math.inf,), high=(math.inf,))
    assert (box.to_dict()["low"], box.to_dict()["high"]) == (["-Infinity"], ["Infinity"])


def test_a_space_writes_its_kind_first() -> None:
    assert next(iter(COIN.to_dict().items())) == ("kind", "discrete")


def test_an_arm_without_anything_set_is_still_set() -> None:
    assert TupleSpace(spaces=()).to_proto().WhichOneof("kind") == "tuple"


def test_equal_contracts_have_equal_hashes() -> None:
    one, two = a_contract(metadata={"a": [1]}), a_contract(metadata={"a": [1]})
    assert one == two
    assert hash(one) == hash(two)


def test_a_contract_cannot_be_changed() -> None:
    contract: Any = a_contract()
    with pytest.raises(FrozenInstanceError):
        contract.id = "other"
    with pytest.raises((AttributeError, TypeError)):
        contract.other = 1


def test_a_contract_can_be_copied_and_pickled() -> None:
    contract = a_contract(metadata={"a": [1]})
    assert copy.deepcopy(contract) == contract
    assert pickle.loads(pickle.dumps(contract)) == contract  # noqa: S301 - made here


def test_a_hand_written_subclass_takes_its_parents_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Space, "_arms", dict(Space._arms))  # pyright: ignore[reportPrivateUsage] - restored

    class Coin(DiscreteSpace):
        __slots__ = ()

        def __init__(self, sides: int) -> None:
            super().__init__(n=sides, dtype=Dtype.INT64)

    tree = TupleSpace(spaces=(Coin(3),))
    for read in (Space.from_dict(tree.to_dict()), Space.from_proto(tree.to_proto())):
        assert isinstance(read, TupleSpace)
        assert type(read.spaces[0]) is Coin
        assert read == tree


def test_an_arm_reads_only_its_own_kind() -> None:
    with pytest.raises(
        ValueError, match=r"^\$\.kind: expected one of the kinds box, got 'discrete'$"
    ):
        BoxSpace.from_dict(COIN.to_dict())
    with pytest.raises(ValueError, match=r"^\$: expected one of the kinds box, got discrete$"):
        BoxSpace.from_proto(COIN.to_proto())


def test_a_field_with_a_default_may_be_left_out_of_json() -> None:
    data = {"id": "E-v0", "observation_space": COIN.to_dict(), "action_space": COIN.to_dict()}
    assert EnvContract.from_dict(data | {"num_envs": 1}) == a_contract()


def test_absent_fields_of_a_message_have_their_defaults() -> None:
    message = space_pb2.Space(discrete=space_pb2.DiscreteSpace(n=2, dtype=space_pb2.DTYPE_INT64))
    assert Space.from_proto(message) == COIN
    empty = space_pb2.Number()
    message.discrete.start.CopyFrom(empty)
    assert Space.from_proto(message) == COIN


Damage = Callable[[dict[str, Any]], object]

JSON_DAMAGES: list[tuple[Damage, str]] = [
    (
        lambda data: data.update(extra=1),
        (
            "$: expected no key but id, vector, observation_space, action_space, num_envs, "
            "autoreset_mode, render_mode, metadata, spec, batched_observation_space, "
            "batched_action_space, delivers_nan, agents, got the key 'extra'"
        ),
    ),
    (
        lambda data: data["action_space"].pop("n"),
        "$.action_space: expected the key 'n', got only 'start', 'dtype'",
    ),
    (
        lambda data: data["action_space"].pop("kind"),
        "$.action_space: expected the key 'kind', got only 'n', 'start', 'dtype'",
    ),
    (
        lambda data: data["action_space"].update(kind="graph"),
        (
            "$.action_space.kind: expected one of the kinds box, discrete, multi_binary, "
            "multi_discrete, text, tuple, dict, got 'graph'"
        ),
    ),
    (
        lambda data: data["action_space"].update(kind=["box"]),
        (
            "$.action_space.kind: expected one of the kinds box, discrete, multi_binary, "
            "multi_discrete, text, tuple, dict, got a list of length 1"
        ),
    ),
    (
        lambda data: data["observation_space"]["entries"][1]["space"].update(dtype="int7"),
        (
            "$.observation_space.entries[1].space.dtype: expected one of bool, int8, int16, "
            "int32, int64, uint8, uint16, uint32, uint64, float16, float32, float64, got 'int7'"
        ),
    ),
    (
        lambda data: data.update(num_envs=2**32),
        "$.num_envs: expected an integer from 0 to 4294967295, got 4294967296",
    ),
    (
        lambda data: data.update(num_envs=True),
        "$.num_envs: expected an integer from 0 to 4294967295, got True",
    ),
    (
        lambda data: data.update(num_envs=10**5000),
        "$.num_envs: expected an integer from 0 to 4294967295, got an integer of 16610 bits",
    ),
    (lambda data: data.update(vector=1), "$.vector: expected a bool, got 1"),
    (lambda data: data.update(id=None), "$.id: expected a text, got None"),
    (
        lambda data: data.update(metadata=[]),
        "$.metadata: expected an object, got a list of length 0",
    ),
    (
        lambda data: data.update(metadata={"a b": [{"$bytes": "?"}]}),
        "$.metadata[\"a b\"][0].$bytes: expected text in base64, got '?'",
    ),
    (
        lambda data: data.update(metadata={"a": {"$odd": 1}}),
        (
            "$.metadata.a: expected one of $tuple, $bytes, $float, $dict as the only key, "
            "got the key '$odd'"
        ),
    ),
    (
        lambda data: data.update(metadata={"a": {"$dict": [["$b", 1], ["$b", 2]]}}),
        "$.metadata.a.$dict: expected every key once, got the key '$b' twice",
    ),
    (
        lambda data: data.update(metadata={"a": math.inf}),
        '$.metadata.a: expected a finite number or {"$float": ...}, got inf',
    ),
    (
        lambda data: data["spec"].update(reward_threshold="lots"),
        "$.spec.reward_threshold: expected a number, got 'lots'",
    ),
    (
        lambda data: data["action_space"].update(start="NaN"),
        '$.action_space.start: expected a number, "Infinity" or "-Infinity", got \'NaN\'',
    ),
    (
        lambda data: data["action_space"].update(start=2**64),
        (
            "$.action_space.start: expected a number from -2**63 to 2**64 - 1 or a float other "
            "than NaN, got 18446744073709551616"
        ),
    ),
    (
        lambda data: data["observation_space"].update(entries={}),
        "$.observation_space.entries: expected a list, got a dict of length 0",
    ),
]


@pytest.mark.parametrize(("damage", "problem"), JSON_DAMAGES)
def test_damaged_json_is_refused_in_one_line(damage: Damage, problem: str) -> None:
    entries = tuple(DictEntry(key=key, space=COIN) for key in "ab")
    contract = a_contract(observation_space=DictSpace(entries=entries), spec=EnvSpec(id="E"))
    data = contract.to_dict()
    damage(data)
    with pytest.raises(ValueError, match=r"^\$") as caught:
        EnvContract.from_dict(data)
    assert str(caught.value) == problem


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^\$: expected an object with the keys id, .*, got 7$"):
        EnvContract.from_dict(cast("dict[str, Any]", 7))


MESSAGE_DAMAGES: list[tuple[Callable[[Any], object], str]] = [
    (
        lambda message: message.ClearField("action_space"),
        "$.action_space: expected a value, as the field is required, got none",
    ),
    (
        lambda message: message.observation_space.Clear(),
        (
            "$.observation_space: expected one of the kinds box, discrete, multi_binary, "
            "multi_discrete, text, tuple, dict, got none that this version knows"
        ),
    ),
    (
        lambda message: setattr(message.observation_space.discrete, "dtype", 0),
        (
            "$.observation_space.dtype: expected one of bool, int8, int16, int32, int64, uint8, "
            "uint16, uint32, uint64, float16, float32, float64, got the number 0"
        ),
    ),
    (
        lambda message: setattr(message, "autoreset_mode", 99),
        "$.autoreset_mode: expected one of next_step, same_step, disabled, got the number 99",
    ),
    (
        lambda message: setattr(message.observation_space.discrete.start, "real", math.nan),
        (
            "$.observation_space.start: expected a number from -2**63 to 2**64 - 1 or a float "
            "other than NaN, got NaN"
        ),
    ),
    (
        lambda message: [message.metadata.entries.add(key="a") for _ in range(2)],
        "$.metadata: expected every key once, got the key 'a' twice",
    ),
    (
        lambda message: setattr(message.metadata.entries.add(key="a").value, "big_integer", "1e9"),
        "$.metadata.a: expected 1 to 4300 decimal digits, got '1e9'",
    ),
]


@pytest.mark.parametrize(("damage", "problem"), MESSAGE_DAMAGES)
def test_a_damaged_message_is_refused_in_one_line(
    damage: Callable[[Any], object], problem: str
) -> None:
    message = a_contract().to_proto()
    damage(message)
    with pytest.raises(ValueError, match=r"^\$") as caught:
        EnvContract.from_proto(message)
    assert str(caught.value) == problem


class Odd:
    def __repr__(self) -> str:
        raise AssertionError("nobody may ask")


@pytest.mark.parametrize("write", [EnvContract.to_dict, EnvContract.to_proto])
@pytest.mark.parametrize(
    ("contract", "error", "problem"),
    [
        (
            in_metadata([Odd()]),
            TypeError,
            r"\$\.metadata\.it\[0\]: expected None, a bool, .*, got an object of type .*\.Odd",
        ),
        (
            a_contract(metadata={1: 2}),
            TypeError,
            r"\$\.metadata: expected keys that are texts, got the key 1",
        ),
        (
            a_contract(num_envs="1"),
            TypeError,
            r"\$\.num_envs: expected an integer from 0 to 4294967295, got '1'",
        ),
        (
            a_contract(observation_space=TupleSpace(spaces=cast("Any", [COIN]))),
            TypeError,
            r"\$\.observation_space\.spaces: expected a tuple, got a list of length 1",
        ),
        (
            a_contract(observation_space=EnvSpec(id="E")),
            TypeError,
            r"\$\.observation_space: expected an object of Space, got .*EnvSpec",
        ),
        (
            a_contract(autoreset_mode="disabled"),
            TypeError,
            r"\$\.autoreset_mode: expected a member of AutoresetMode, got 'disabled'",
        ),
        (
            a_contract(num_envs=-1),
            ValueError,
            r"\$\.num_envs: expected an integer from 0 to 4294967295, got -1",
        ),
        (
            a_contract(action_space=DiscreteSpace(n=1, start=math.nan, dtype=Dtype.INT8)),
            ValueError,
            r"\$\.action_space\.start: expected a number .*, got NaN",
        ),
        (
            in_metadata(10**5000),
            ValueError,
            r"\$\.metadata\.it: expected an integer of at most 4300 digits, got .* 16610 bits",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_by_its_place(
    write: Callable[[EnvContract], object],
    contract: EnvContract,
    error: type[Exception],
    problem: str,
) -> None:
    with pytest.raises(error, match=f"^{problem}$"):
        write(contract)


def test_a_text_that_no_message_can_hold_is_refused_by_its_place() -> None:
    with pytest.raises(ValueError, match=r"^\$\.id: expected a text without lone surrogates, got"):
        a_contract(id="\ud800").to_proto()


@pytest.mark.parametrize("write", [EnvContract.to_dict, EnvContract.to_proto])
def test_a_value_that_holds_itself_is_refused(write: Callable[[EnvContract], object]) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested without end or nearly so"):
        write(in_metadata(endless))


def nested(depth: int) -> Space:
    space: Space = COIN
    for _ in range(depth):
        space = TupleSpace(spaces=(space,))
    return space


def test_the_deepest_contract_that_is_written_can_be_read() -> None:
    depth = 0
    while True:
        contract = a_contract(observation_space=nested(depth))
        try:
            message = contract.to_proto()
        except ValueError:
            break
        wire = env_service_pb2.GetContractResponse(contract=message).SerializeToString()
        read = env_service_pb2.GetContractResponse.FromString(wire).contract
        assert EnvContract.from_proto(read) == contract
        depth += 1
    assert depth > 40
    with pytest.raises(ValueError, match=r"^\$: expected at most 99 nested messages, got 10\d$"):
        a_contract(observation_space=nested(depth)).to_proto()


def test_enum_members_and_their_numbers_lead_to_each_other() -> None:
    assert [Dtype.from_proto(dtype.to_proto()) for dtype in Dtype] == list(Dtype)
    with pytest.raises(ValueError, match=r"^Dtype: expected the number of one of bool, .*, got 0$"):
        Dtype.from_proto(0)
