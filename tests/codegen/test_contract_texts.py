"""Contracts as JSON text, the JSON Schema of them, and their fingerprints."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rlmesh.contract import read_contract
from rlmesh.spaces import Box, Dict, Discrete, MultiBinary, Space, Tuple, from_gymnasium_space
from rlmesh_api.contract import Agents, AutoresetMode, EnvContract, EnvSpec
from support.contracts import COIN, a_contract, fully_set, variations
from support.sample_envs import ScriptedEnv
from support.sample_spaces import SAMPLE_SPACES
from support.space_strategies import gymnasium_spaces

SCHEMA = json.loads(
    resources.files("rlmesh_api").joinpath("contract.schema.json").read_text(encoding="utf-8")
)
VALIDATOR: Any = Draft202012Validator(SCHEMA)
EXTREMES = (-(2**63), 2**53 + 1, 2**63 - 1, 2**64 - 1)


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def strictly_read(text: str) -> Any:
    return json.loads(text, parse_constant=no_constant)


@pytest.mark.parametrize("name", SAMPLE_SPACES)
def test_the_text_of_every_space_is_strict_fits_the_schema_and_reads_back(name: str) -> None:
    space = from_gymnasium_space(SAMPLE_SPACES[name])
    contract = a_contract(observation_space=space, batched_action_space=space)
    text = contract.to_json()
    assert not list(VALIDATOR.iter_errors(strictly_read(text)))
    assert EnvContract.from_json(text) == contract
    assert EnvContract.from_json(text.encode()) == contract
    assert text.isascii()
    assert "\n" not in text


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_a_full_contract_fits_the_schema() -> None:
    env = ScriptedEnv()
    env.metadata = {"a": (1, b"x"), "$odd": {"b": [math.nan, -math.inf, None]}}
    contract = dataclasses.replace(
        read_contract(env),
        autoreset_mode=AutoresetMode.DISABLED,
        spec=EnvSpec(id="E", reward_threshold=math.inf, max_episode_steps=2**64 - 1),
    )
    assert not list(VALIDATOR.iter_errors(strictly_read(contract.to_json())))


def leave_out(*path: str) -> Any:
    def damage(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        leave_out("id"),
        leave_out("action_space", "kind"),
        leave_out("action_space", "n"),
        lambda data: data.update(extra=1),
        lambda data: data["action_space"].update(kind="graph"),
        lambda data: data["action_space"].update(dtype="int7"),
        lambda data: data.update(num_envs=2**32),
        lambda data: data.update(vector=1),
        lambda data: data.update(metadata=[]),
        lambda data: data.update(metadata={"$odd": 1}),
        lambda data: data.update(metadata={"a": {"$float": "inf"}}),
        lambda data: data.update(metadata={"a": {"$dict": [["b"]]}}),
    ],
)
def test_what_is_no_contract_does_not_fit_the_schema(damage: Any) -> None:
    data = a_contract().to_dict()
    damage(data)
    assert list(VALIDATOR.iter_errors(data))
    with pytest.raises(ValueError, match=r"^\$"):
        EnvContract.from_dict(data)


@pytest.mark.parametrize("number", EXTREMES)
def test_every_digit_of_an_integer_is_written(number: int) -> None:
    contract = a_contract(metadata={"it": number})
    assert str(number) in contract.to_json()
    assert EnvContract.from_json(contract.to_json()).metadata["it"] == number


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1,", "$: expected JSON text, got what is none at line 1 column 4: Expecting value"),
        ("", "$: expected JSON text, got what is none at line 1 column 1: Expecting value"),
        (b"\xff{}", "$: expected JSON text in UTF-8, got the byte 0xff"),
        ("1" * 5000, "$: expected integers of at most 4300 digits, got a longer one"),
        ('{"id": NaN}', "$.id: expected a text, got nan"),
        ('{"a": [{"b": 1, "b": 2}]}', "$.a[0]: expected every key once, got the key 'b' twice"),
        ("7", "$: expected an object with the keys id, "),
        ("[" * 100_000, "$: expected a tree of moderate depth, got one that is nested without end"),
    ],
)
def test_a_damaged_text_is_refused_in_one_line(text: str | bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^\$") as caught:
        EnvContract.from_json(text)
    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"n": 2', '"n": 0', "$.action_space.entries[1].space: Discrete n must be positive, got 0"),
        ('"key": "b"', '"key": "a"', "$.action_space: Dict key 'a' must come once"),
        (
            '"high": [1.0]',
            '"high": [-3.0]',
            "$.observation_space: Box low must not be above high, got -1.0 and -3.0",
        ),
        (
            '"high": [1.0]',
            '"high": [1e999]',
            (
                '$.observation_space.high[0]: expected a finite number, "Infinity" or '
                '"-Infinity", got inf'
            ),
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_its_place(
    old: str, new: str, problem: str
) -> None:
    spaces = Dict({"a": Discrete(3), "b": COIN})
    text = a_contract(observation_space=Box(-1.0, 1.0, (2,)), action_space=spaces).to_json()
    assert text.count(old) == 1
    with pytest.raises(ValueError, match=r"^\$") as caught:
        EnvContract.from_json(text.replace(old, new))
    assert str(caught.value) == problem


# Never to be changed: contracts that users keep tell their fingerprint with every version.
KNOWN = {
    "smallest": "2a082a575f6938a18ecaaf6fd720a6bd8b697120bf838e59a03ddf023dfce98c",
    "fully set": "eeba2e308a26b1e4b518c9ca405bb6e85b9f8a5f848d6232d0c65697fe606746",
    "and NaN": "90a0b58acd81d5f69c36192befad2868544b9271860190f7a6780479c1ff284e",
}


def test_known_contracts_have_the_fingerprints_that_they_always_had() -> None:
    contracts = {
        "smallest": a_contract(),
        "fully set": dataclasses.replace(fully_set(), delivers_nan=False),
        "and NaN": fully_set(),
    }
    assert {name: contract.fingerprint for name, contract in contracts.items()} == KNOWN


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    program = (
        "import sys; from rlmesh import EnvContract; "
        "print(EnvContract.from_json(sys.stdin.read()).fingerprint)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        input=fully_set().to_json(),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.stdout.strip() == fully_set().fingerprint


def test_a_fingerprint_depends_on_no_order_of_keys() -> None:
    one = a_contract(metadata={"a": 1, "$b": {"c": 2, "$d": 3}})
    other = a_contract(metadata={"$b": {"$d": 3, "c": 2}, "a": 1})
    assert one.fingerprint == other.fingerprint


def test_a_fingerprint_tells_numbers_of_different_types_apart() -> None:
    told = {a_contract(metadata={"it": it}).fingerprint for it in (1, 1.0, True, "1", None)}
    assert len(told) == 5


def test_a_field_that_is_not_set_leaves_the_fingerprint_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a version with fewer fields says of the same environment."""
    contract = a_contract()
    fewer = dict(EnvContract._codecs)
    del fewer["batched_action_space"], fewer["metadata"], fewer["spec"]
    told = contract.fingerprint
    monkeypatch.setattr(EnvContract, "_codecs", fewer)
    assert contract.fingerprint == told


def test_what_no_contract_can_hold_has_no_fingerprint() -> None:
    with pytest.raises(TypeError, match=r"^\$\.num_envs: expected an integer"):
        _ = a_contract(num_envs="1").fingerprint


spaces: st.SearchStrategy[Space] = gymnasium_spaces(max_leaves=3).map(from_gymnasium_space)


@settings(max_examples=25)
@given(spaces, spaces, st.none() | spaces, st.booleans())
def test_a_fingerprint_differs_after_any_change_of_any_field(
    observation: Space, action: Space, batched: Space | None, full: bool
) -> None:
    contract = dataclasses.replace(
        fully_set() if full else a_contract(),
        observation_space=observation,
        action_space=action,
        batched_action_space=batched,
    )
    unchanged = contract.fingerprint
    for other in variations(contract)[1]:
        fingerprint = other.fingerprint
        assert fingerprint != unchanged
        assert EnvContract.from_proto(other.to_proto()).fingerprint == fingerprint


def test_the_changes_reach_every_field_of_a_contract() -> None:
    """Holds the test above: there is none that it leaves alone."""
    flags = Tuple([MultiBinary(3), Box(-math.inf, math.inf, (2,), "int8")])
    contract = dataclasses.replace(
        fully_set(), batched_action_space=flags, agents=Agents(names=("a", "b"))
    )
    reached = variations(contract)[0]
    in_schema = {
        name
        for part in (SCHEMA, *SCHEMA["$defs"].values())
        for name in part.get("properties", {})
        if not name.startswith("$")
    }
    # The kind of a space changes only together with its other fields.
    assert in_schema - {"kind"} <= reached


def test_python_writes_floats_as_it_always_did() -> None:
    """What fingerprints rest on: the shortest digits that lead back, since Python 3.1."""
    told = [json.dumps(it) for it in (0.1, 1e16, 1e22, 1e-05, 5e-324, -0.0, 2.0**63)]
    assert told == ["0.1", "1e+16", "1e+22", "1e-05", "5e-324", "-0.0", "9.223372036854776e+18"]
