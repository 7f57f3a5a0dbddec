"""Episodes are counted whatever an environment returns, and nothing it returns is changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlmesh.contract import AutoresetMode
from rlmesh.server.envs.episodes import EpisodeCounter, VectorEpisodeCounter


class _Says:
    """Returns what it is given as an action."""

    def step(self, action: Any) -> Any:
        return action


def _single(*returned: Any) -> EpisodeCounter:
    counter = EpisodeCounter(_Says())
    counter.begin(None)
    for each in returned:
        assert counter.step(each) is each
    return counter


@pytest.mark.parametrize(
    "end",
    [
        (0, 1.0, True, False, {}),
        (0, 1.0, False, True, {}),
        (0, np.float32(1), np.bool_(True), np.bool_(False), {}),
        [0, 1, 0, 1, {}],
        # As before Gym 0.26.
        (0, 1.0, True, {}),
    ],
)
def test_an_episode_ends_in_any_form(end: Any) -> None:
    assert _single((0, 2.5, False, False, {}), end).ended == (1, 3.5, 2)


@pytest.mark.parametrize(
    "wrong",
    [None, 3, (0, "much", True, False, {}), (0, 1.0, "yes", False, {}), (1, 2, 3), "abcde"],
)
def test_what_is_no_result_counts_for_nothing(wrong: Any) -> None:
    end: Any = (0, 1.0, True, False, {})
    assert _single(wrong, end).ended == (1, 1.0, 1)


def test_an_environment_that_is_stepped_on_after_the_end_ends_once() -> None:
    end: Any = (0, 1.0, True, False, {})
    counter = _single((0, 1.0, False, False, {}), end, end, end)
    assert counter.ended == (1, 2.0, 2)
    # An episode of one step is one, after a reset.
    counter.begin(None)
    counter.step(end)
    assert counter.ended == (2, 3.0, 3)


def _vector(mode: AutoresetMode | None, *flags: list[bool], rows: Any = np.array) -> Any:
    counter = VectorEpisodeCounter(_Says(), 2, mode)
    counter.begin(None)
    for terminated in flags:
        returned: Any = (0, rows([1.0, 10.0]), rows(terminated), rows([False, False]), {})
        assert counter.step(returned) is returned
    return counter


@pytest.mark.parametrize("rows", [np.array, list])
def test_each_sub_environment_has_its_own_episodes(rows: Any) -> None:
    counter = _vector(AutoresetMode.SAME_STEP, [False, True], [True, True], rows=rows)
    # Of the first one of two steps, of the second two of one step.
    assert counter.ended == (3, 22.0, 4)


def test_the_step_that_only_resets_belongs_to_no_episode() -> None:
    flags = [[False, True], [False, False], [False, True]]
    counter = VectorEpisodeCounter(_Says(), 2, AutoresetMode.NEXT_STEP)
    for terminated, reward in zip(flags, [10.0, 0.0, 10.0], strict=True):
        counter.step((0, np.array([1.0, reward]), np.array(terminated), np.zeros(2, bool), {}))
    assert counter.ended == (2, 20.0, 2)


def test_a_reset_with_a_mask_begins_episodes_of_those_alone() -> None:
    counter = _vector(AutoresetMode.DISABLED, [False, True], [False, True])
    assert counter.ended == (1, 10.0, 1)
    counter.begin({"reset_mask": np.array([False, True])})
    counter.step((0, np.array([1.0, 10.0]), np.array([True, True]), np.zeros(2, bool), {}))
    assert counter.ended == (3, 23.0, 5)


def test_sub_environments_that_are_stepped_apart_count_their_own_steps() -> None:
    counter = VectorEpisodeCounter(_Says(), 3, AutoresetMode.NEXT_STEP)
    for over in (False, False, True):
        counter.count_some(np.array([2, 0]), np.array([1.0, 5.0]), np.array([over, False]))
    assert counter.ended == (1, 3.0, 3)
    counter.count_some(np.array([0]), np.array([5.0]), np.array([True]))
    assert counter.ended == (2, 23.0, 7)
