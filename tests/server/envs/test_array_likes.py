"""What environments return beside observations may be values of other array libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlmesh.envs.results import BadResultError, flag_of, flags_of, reward_of, rewards_of


class Tensor:
    """A tensor of a library that is no NumPy, of one element."""

    def __init__(self, value: Any, *, on_card: bool = False) -> None:
        self._value = value
        self._on_card = on_card

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self._on_card:
            raise TypeError("can't convert a tensor of another device")
        return np.asarray(self._value, dtype)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __float__(self) -> float:
        return float(self._value)


class Undecided:
    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")


@pytest.mark.parametrize("on_card", [False, True], ids=["in memory", "on a card"])
@pytest.mark.parametrize("value", [True, False])
def test_a_tensor_is_a_flag(value: bool, on_card: bool) -> None:
    assert flag_of(Tensor(value, on_card=on_card), "terminated") is value


def test_a_tensor_is_a_reward() -> None:
    assert reward_of(Tensor(0.5, on_card=True)) == 0.5


@pytest.mark.parametrize(
    "value", [1j, np.complex64(1j), Tensor(1j)], ids=["Python", "NumPy", "tensor"]
)
def test_a_complex_number_is_no_reward(value: Any) -> None:
    with pytest.raises(BadResultError, match="must be a real number"):
        reward_of(value)


@pytest.mark.parametrize("on_card", [False, True], ids=["in memory", "on a card"])
def test_lists_of_tensors_are_the_flags_and_rewards_of_sub_environments(on_card: bool) -> None:
    flags = flags_of([Tensor(True, on_card=on_card), Tensor(False, on_card=on_card)], 2, "flags")
    assert flags.dtype == np.bool_
    assert flags.tolist() == [True, False]
    rewards = rewards_of([Tensor(1, on_card=on_card), Tensor(0.5, on_card=on_card)], 2)
    assert rewards.dtype == np.float64
    assert rewards.tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    "value",
    [None, "True", [], Tensor(2), Tensor([True, False]), Undecided(), 0.5],
    ids=["None", "a text", "an empty list", "two", "two flags", "undecided", "a half"],
)
def test_what_is_no_flag_is_refused(value: Any) -> None:
    with pytest.raises(BadResultError, match="terminated must be a bool, got"):
        flag_of(value, "terminated")
