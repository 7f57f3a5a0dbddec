"""Where the policy comes from, and how often a deviation is told."""

from __future__ import annotations

from typing import Any

import pytest

from rlmesh.codec.checks.conformance import POLICY_VARIABLE, Nan, Policy, Reporter, policy_from
from rlmesh.codec.slab.layout import Deviation
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError


@pytest.mark.parametrize("policy", list(Policy))
def test_a_policy_is_read_from_its_word(policy: Policy) -> None:
    assert Policy.parse(policy.value) is policy
    assert Policy.parse(policy) is policy


@pytest.mark.parametrize("word", ["", "WARN", "warn ", "none", "error", "1"])
def test_an_unknown_word_is_refused_with_the_allowed_ones(word: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Policy.parse(word)
    assert str(caught.value) == (f"validation must be one of 'warn', 'strict', 'off', got {word!r}")


@pytest.mark.parametrize("word", [True, False, 0, None, ["warn"]])
def test_a_policy_that_is_no_word_is_refused(word: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="'warn', 'strict', 'off', got"):
        Policy.parse(word)


@pytest.mark.parametrize("nan", list(Nan))
def test_what_happens_to_nan_is_read_from_its_word(nan: Nan) -> None:
    assert Nan.parse(nan.value) is nan
    assert Nan.parse(nan) is nan


def test_the_argument_comes_before_the_variable() -> None:
    assert policy_from("off", {POLICY_VARIABLE: "strict"}) is Policy.OFF
    assert policy_from(Policy.WARN, {POLICY_VARIABLE: "nonsense"}) is Policy.WARN


def test_the_variable_is_read_where_there_is_no_argument() -> None:
    assert POLICY_VARIABLE == "RLMESH_VALIDATION_POLICY"
    assert policy_from(None, {POLICY_VARIABLE: "strict"}) is Policy.STRICT


@pytest.mark.parametrize("environ", [{}, {POLICY_VARIABLE: ""}, {"OTHER": "strict"}])
def test_the_policy_is_warn_where_nothing_says_another(environ: dict[str, str]) -> None:
    assert policy_from(None, environ) is Policy.WARN


def test_an_unknown_word_in_the_variable_is_refused_by_the_variables_name() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^RLMESH_VALIDATION_POLICY must be one of"):
        policy_from(None, {POLICY_VARIABLE: "loud"})


def test_an_unknown_argument_is_refused() -> None:
    for word in ("loud", ""):
        with pytest.raises(InvalidArgumentError, match=r"^validation must be one of"):
            policy_from(word, {})


def bounds(path: str, env_index: int | None = None) -> Deviation:
    return Deviation("bounds", path, env_index, "too much")


def test_a_deviation_is_told_as_a_dict() -> None:
    told = Reporter().filter([bounds("$.a"), bounds("$.b", 3)])
    assert told == [
        {"kind": "bounds", "path": "$.a", "env_index": None, "detail": "too much"},
        {"kind": "bounds", "path": "$.b", "env_index": 3, "detail": "too much"},
    ]


def test_a_kind_and_path_is_told_once() -> None:
    reporter = Reporter()
    assert len(reporter.filter([bounds("$.a")])) == 1
    assert reporter.filter([bounds("$.a")]) == []
    other = Deviation("overflow", "$.a", None, "too much")
    assert [item["kind"] for item in reporter.filter([bounds("$.a"), other])] == ["overflow"]
    assert [item["path"] for item in reporter.filter([bounds("$.b"), other])] == ["$.b"]


def test_all_sub_envs_are_told_the_first_time() -> None:
    reporter = Reporter()
    told = reporter.filter([bounds("$.a", 1), bounds("$.a", 4)])
    assert [item["env_index"] for item in told] == [1, 4]
    assert reporter.filter([bounds("$.a", 2)]) == []


def test_two_sessions_are_told_apart() -> None:
    for _ in range(2):
        assert len(Reporter().filter([bounds("$.a")])) == 1
