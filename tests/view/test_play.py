"""A person drives an environment on the page."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlmesh.errors import InvalidActionError
from rlmesh.view.controls import Controls, UnplayableError
from support.serving import serving
from support.viewing import Browser, viewing


class Walk(gymnasium.Env[Any, Any]):
    """Notes its actions; an episode has three steps."""

    def __init__(self, actions: gymnasium.Space[Any]) -> None:
        self.observation_space = spaces.Box(0.0, 9.0, (1,), np.float32)
        self.action_space = actions
        self.given: list[Any] = []
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.seeds.append(seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.given.append(action)
        return np.zeros(1, np.float32), 1.0, len(self.given) % 3 == 0, False, {}

    def get_keys_to_action(self) -> dict[Any, int]:
        return {(): 2, (ord("a"),): 0, (ord("a"), 1073741906): 1}


def steps(endpoints: list[dict[str, Any]]) -> int:
    return sum(session["steps"] for session in endpoints[0]["sessions"])


def test_a_button_steps_as_long_as_it_is_held_and_an_episode_that_is_over_begins_again() -> None:
    walk = Walk(spaces.Discrete(3, start=5))
    with (
        serving(walk) as server,
        viewing(server.address, plays={"rate": 100.0, "seed": 4}) as url,
        Browser(url) as browser,
    ):
        while browser.ask()["play"]["error"]:
            pass
        controls = browser.ask()["play"]["controls"]
        assert [each["keys"] for each in controls["buttons"]] == [["0"], ["1"], ["2"]]
        assert walk.given == []
        browser.play(hold=6)
        browser.until(lambda found: steps(found) >= 4)
        browser.play(hold=None)
        assert set(walk.given) == {6}
        assert walk.seeds[0] == 4
        assert len(walk.seeds) >= 2
        browser.play(hold=9)
        while "does not hold the action 9" not in browser.ask()["play"]["error"]:
            pass
        assert set(walk.given) == {6}


def test_the_keys_of_the_environment_are_taken_where_the_server_exposes_them() -> None:
    walk = Walk(spaces.Discrete(3))
    with (
        serving(walk, expose=["get_keys_to_action"]) as server,
        viewing(server.address, plays={"rate": 100.0}) as url,
        Browser(url) as browser,
    ):
        while not (play := browser.ask()["play"])["controls"]:
            pass
        assert play["controls"]["buttons"] == [
            {"action": 0, "keys": ["a"]},
            {"action": 1, "keys": ["a", "ArrowUp"]},
            {"action": 2, "keys": []},
        ]
        # It goes on by itself, with the action of no key.
        browser.until(lambda found: steps(found) >= 2)
        assert walk.given[0] == 2


def test_nothing_is_stepped_while_no_browser_looks() -> None:
    walk = Walk(spaces.Discrete(3))
    with serving(walk) as server, viewing(server.address, plays={"rate": 100.0}) as url:
        with Browser(url) as browser:
            browser.play(always=True)
            browser.until(steps)
        with Browser(url) as browser:
            # Somebody looks again.
            before = len(walk.given)
            browser.play(always=True)
            browser.until(lambda _: len(walk.given) > before)


@pytest.mark.parametrize(
    ("space", "values", "action"),
    [
        (spaces.Box(-2.0, 2.0, (2,), np.float32), [0.5, 9.0], np.array([0.5, 2.0], np.float32)),
        (spaces.Box(-np.inf, np.inf, (1,), np.float64), [7.0], np.array([7.0])),
        (spaces.MultiDiscrete([3, 4], start=[1, 0]), [2, 3], np.array([2, 3])),
        (spaces.MultiBinary(2), [0, 1], np.array([0, 1], np.int8)),
    ],
)
def test_sliders_give_actions_of_the_space(space: Any, values: list[float], action: Any) -> None:
    controls = Controls(space)
    found = controls.action_of(values)
    assert np.array_equal(found, action)
    assert found.dtype == action.dtype
    assert space.contains(controls.idle)
    assert len(controls.describe()["sliders"]) == len(values)


@pytest.mark.parametrize("given", [[1.0], "a", None, True, [None, 1.0, 2.0]])
def test_what_is_no_action_is_refused(given: Any) -> None:
    with pytest.raises(InvalidActionError):
        Controls(spaces.MultiDiscrete([3, 4], start=[1, 1])).action_of(given)


@pytest.mark.parametrize(
    "space", [spaces.Box(0, 255, (8, 8), np.uint8), spaces.Text(3), spaces.Discrete(1000)]
)
def test_a_space_that_nobody_can_drive_by_hand_is_refused(space: Any) -> None:
    with pytest.raises(UnplayableError):
        Controls(space)
