"""`rlmesh.Chunks`: which action is for which step, when the next chunk is asked for, and counts."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

import rlmesh
from rlmesh.chunking.pace import Pace
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidActionError,
    InvalidArgumentError,
    InvalidModelError,
    StateError,
)

SECONDS = 20


class Model:
    """Its action number i for the observation o is `[o, i]`."""

    def __init__(self, horizon: int = 4) -> None:
        self.horizon = horizon
        self.calls: list[int] = []
        self.resets: list[int | None] = []
        self.threads: set[int] = set()

    def reset(self, seed: int | None = None) -> None:
        self.resets.append(seed)
        self.threads.add(threading.get_ident())

    def predict_chunk(self, observation: Any) -> Any:
        self.calls.append(int(observation[0]))
        self.threads.add(threading.get_ident())
        numbers = np.arange(self.horizon, dtype=np.float64)
        return np.stack([np.full(self.horizon, observation[0], np.float64), numbers], axis=1)


class Posted(Model):
    """The same as a client of a served model has it."""

    waiting: Any = None

    def post(self, observation: Any, *, chunk: bool = False) -> None:
        assert chunk
        assert self.waiting is None
        self.waiting = self.predict_chunk(observation)

    def take(self) -> Any:
        assert self.waiting is not None
        chunk, self.waiting = self.waiting, None
        return chunk


def driven(policy: rlmesh.Chunks, steps: int, first: int = 0) -> list[tuple[int, int]]:
    """The observation and the number of each action; the observation is the step."""
    found = [policy.act(np.array([step])) for step in range(first, first + steps)]
    return [(int(action[0]), int(action[1])) for action in found]


def expected(horizon: int, execute: int, prefetch: int, steps: int) -> list[tuple[int, int]]:
    """What each step gets, chunk by chunk."""
    actions: list[tuple[int, int]] = []
    start = adopted = 0
    while len(actions) < steps:
        until = adopted + execute
        actions += [(start, step - start) for step in range(adopted, until)]
        start = max(until - prefetch, adopted) if prefetch else until
        adopted = until
    assert all(index < horizon for _, index in actions)
    return actions[:steps]


@st.composite
def settings(draw: st.DrawFn) -> tuple[int, int, int, int]:
    horizon = draw(st.integers(1, 9))
    execute = draw(st.integers(1, horizon))
    return horizon, execute, draw(st.integers(0, horizon - execute)), draw(st.integers(1, 40))


@pytest.mark.parametrize("kind", [Model, Posted])
@given(numbers=settings())
def test_each_step_has_its_action_and_each_action_its_count(
    kind: Callable[[int], Model], numbers: tuple[int, int, int, int]
) -> None:
    horizon, execute, prefetch, steps = numbers
    model = kind(horizon)
    with rlmesh.Chunks(model, execute, prefetch) as policy:
        policy.reset(seed=3)
        assert driven(policy, steps) == expected(horizon, execute, prefetch, steps)
        stats = policy.stats()
        assert stats.executed == steps
        assert stats.asked * horizon == stats.executed + stats.dropped + stats.queued
        # No message for an action that is there: as many as chunks, and one ahead.
        assert math.ceil(steps / execute) <= stats.asked <= math.ceil(steps / execute) + 1
        policy.reset(seed=4)
        assert driven(policy, 1) == [(0, 0)]
    done = policy.stats()
    assert done.queued == 0
    assert done.asked * horizon == done.executed + done.dropped
    assert done.asked == len(model.calls)
    assert model.resets == [3, 4]


def test_without_prefetch_all_is_on_the_callers_thread_and_counts_are_exact() -> None:
    model = Model(horizon=4)
    policy = rlmesh.Chunks(model, execute=3)
    policy.reset()
    driven(policy, 7)
    assert model.calls == [0, 3, 6]
    assert model.threads == {threading.get_ident()}
    stats = policy.stats()
    assert (stats.asked, stats.executed, stats.dropped, stats.queued) == (3, 7, 2, 3)
    assert stats.waited_seconds == stats.inference_seconds > 0
    assert stats.hidden == 0.0
    assert repr(policy) == "Chunks(Model, horizon=4, execute=3, prefetch=0)"


def test_with_prefetch_a_local_model_has_one_thread_of_its_own() -> None:
    model = Model()
    with rlmesh.Chunks(model, prefetch=1) as policy:
        policy.reset()
        driven(policy, 9)
        assert policy.execute == 3
    assert len(model.threads) == 1
    assert model.threads != {threading.get_ident()}


def test_actions_go_on_while_the_next_chunk_is_computed() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Model):
        def predict_chunk(self, observation: Any) -> Any:
            if observation[0] > 0:
                begun.set()
                assert go_on.wait(SECONDS)
            return super().predict_chunk(observation)

    with rlmesh.Chunks(Slow(), execute=2, prefetch=1) as policy:
        assert driven(policy, 1) == [(0, 0)]
        observation = np.array([1])
        policy.act(observation)
        assert begun.wait(SECONDS)
        # The caller may reuse the array: the thread has its own.
        observation[0] = 77
        go_on.set()
        assert driven(policy, 2, first=2)[0] == (1, 1)


def test_a_chunk_that_was_asked_for_before_a_reset_is_dropped() -> None:
    model = Model()
    with rlmesh.Chunks(model, execute=2, prefetch=2) as policy:
        policy.reset()
        driven(policy, 1, first=10)
        assert policy.stats().asked == 2
        policy.reset()
        assert policy.stats().dropped == 7
        assert driven(policy, 2, first=20) == [(20, 0), (20, 1)]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_overlap_is_averaged_or_given_to_a_function(prefetch: int) -> None:
    seen: list[list[float]] = []

    def blend(actions: Any) -> Any:
        seen.append([float(action[0]) for action in actions])
        return actions[0]

    with rlmesh.Chunks(Model(horizon=6), 2, prefetch, blend="average") as policy:
        averaged = [policy.act(np.array([step])) for step in range(5)]
    with rlmesh.Chunks(Model(horizon=6), 2, prefetch, blend=blend) as policy:
        oldest = driven(policy, 5)
    if prefetch == 0:
        assert [action.tolist() for action in averaged] == [
            [0, 0],
            [0, 1],
            [1, 1],
            [1, 2],
            [2, 2],
        ]
        assert seen == [[0, 2], [0, 2], [0, 2, 4]]
        assert oldest == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)]
    else:
        assert [action.tolist() for action in averaged][2:4] == [[0, 2], [0, 3]]
        assert seen[0] == [0, 0]


def test_dicts_and_tuples_are_averaged_part_by_part() -> None:
    class Parts:
        horizon = 2

        def predict_chunk(self, observation: float) -> Any:
            arm = np.full((2, 1), observation, np.float32)
            return {"arm": arm, "rest": (arm * 2,)}

    policy = rlmesh.Chunks(Parts(), execute=1, blend="average")
    policy.act(0.0)
    action = policy.act(1.0)
    assert action["arm"].tolist() == [0.5]
    assert action["arm"].dtype == np.float32
    assert action["rest"][0].tolist() == [1.0]


def test_the_unexecuted_prefix_and_the_delay_are_offered_to_a_model_that_wants_them() -> None:
    offers: list[tuple[Any, int]] = []

    class Wants(Model):
        def predict_chunk(self, observation: Any, *, prefix: Any = 1, delay: int = -1) -> Any:
            offers.append((prefix if prefix is None else prefix[:, 1].tolist(), delay))
            return super().predict_chunk(observation)

    with rlmesh.Chunks(Wants(horizon=6), execute=3, prefetch=2) as policy:
        driven(policy, 6)
    assert offers[:3] == [(None, 0), ([1, 2, 3, 4, 5], 2), ([3, 4, 5], 2)]


def test_an_adapted_model_is_driven_too_and_is_offered_no_foreign_prefix() -> None:
    class Wants:
        observation_space = spaces.Box(0, 100, (1,), np.float32)
        action_space = spaces.Box(-1, 1, (1,), np.float32)
        horizon = 4

        def predict_chunk(self, observation: Any, prefix: Any = "none", delay: int = 9) -> Any:
            assert prefix == "none"
            assert delay in {0, 1}
            return np.full((4, 1), 0.25, np.float32)

    env = Wants()
    env.action_space = spaces.Box(-4, 4, (1,), np.float32)
    model = rlmesh.adapt(Wants(), env, [rlmesh.adapters.scale(4.0, on="action")]).wrap(Wants())
    assert "prefix" not in inspect.signature(model.predict_chunk).parameters
    with rlmesh.Chunks(model, prefetch=1) as policy:
        found = [float(policy.act(np.zeros(1, np.float32))[0]) for _ in range(6)]
    assert found == [1.0] * 6


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_model_that_fails_is_asked_again(prefetch: int) -> None:
    class Fails(Model):
        def predict_chunk(self, observation: Any) -> Any:
            chunk = super().predict_chunk(observation)
            if len(self.calls) == 2:
                raise RuntimeError("out of memory")
            return chunk

    with rlmesh.Chunks(Fails(), execute=2, prefetch=prefetch) as policy:
        driven(policy, 2)
        with pytest.raises(RuntimeError, match="out of memory"):
            policy.act(np.array([2]))
        assert driven(policy, 2, first=2) == [(2, 0), (2, 1)]
        stats = policy.stats()
        assert stats.asked * 4 == stats.executed + stats.dropped + stats.queued


@pytest.mark.parametrize(
    ("chunk", "detail"),
    [
        (np.zeros((3, 2)), r"\$: expected 4 actions, got 3"),
        (np.float64(3), r"\$: expected 4 actions, got one"),
        (np.array([[0.0, 0], [0, 0], [0, np.nan], [0, 0]]), "NaN in the action 2"),
        (
            {"arm": np.zeros((4, 1)), "grip": np.zeros((5, 1))},
            r"\$.grip: expected 4 actions, got 5",
        ),
        ((np.zeros((4, 1)), np.zeros((2, 1))), r"\$\[1\]: expected 4 actions, got 2"),
    ],
)
def test_a_wrong_chunk_is_refused_and_names_the_leaf(chunk: Any, detail: str) -> None:
    class Wrong(Model):
        def predict_chunk(self, observation: Any) -> Any:
            good = super().predict_chunk(observation)
            return chunk if len(self.calls) == 1 else good

    policy = rlmesh.Chunks(Wrong())
    with pytest.raises(InvalidActionError, match=f"the chunk of Wrong is refused: .*{detail}"):
        policy.act(np.array([0]))
    assert driven(policy, 1) == [(0, 0)]


def test_the_action_space_says_what_a_chunk_is() -> None:
    class Spaced(Model):
        action_space = spaces.Dict({"arm": spaces.Box(-1, 1, (2,))})

    with pytest.raises(InvalidActionError, match=r"\$: expected a dict with the keys \['arm'\]"):
        rlmesh.Chunks(Spaced()).act(np.array([0]))


class _Whole(Model):
    action_space = spaces.Discrete(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rlmesh.Chunks(object()), InvalidModelError, "a method predict_chunk"),
        (lambda: rlmesh.Chunks(Model(0)), InvalidModelError, "from 1, got 0"),
        (lambda: rlmesh.Chunks(Model(2.5)), InvalidModelError, "from 1, got 2.5"),  # type: ignore[arg-type]
        (lambda: rlmesh.Chunks(Model(), 0), InvalidArgumentError, "execute must be 1 or more"),
        (lambda: rlmesh.Chunks(Model(), 5), InvalidArgumentError, "at most 4 together"),
        (lambda: rlmesh.Chunks(Model(), 3, 2), InvalidArgumentError, "at most 4 together"),
        (lambda: rlmesh.Chunks(Model(), None, 4), InvalidArgumentError, "at most 4 together"),
        (lambda: rlmesh.Chunks(Model(), 1.5), ArgumentTypeError, "execute must be an integer"),  # type: ignore[arg-type]
        (lambda: rlmesh.Chunks(Model(), 1, "soon"), ArgumentTypeError, 'an integer or "auto"'),  # type: ignore[arg-type]
        (lambda: rlmesh.Chunks(Model(), 1, -1), InvalidArgumentError, "prefetch must be 0 or more"),
        (lambda: rlmesh.Chunks(Model(), blend="mean"), InvalidArgumentError, "blend must be"),  # type: ignore[arg-type]
        (lambda: rlmesh.Chunks(Model(), blend=3), ArgumentTypeError, "blend must be"),  # type: ignore[arg-type]
        (lambda: rlmesh.Chunks(_Whole(), blend="average"), InvalidArgumentError, "of floats"),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_closed_one_is_closed() -> None:
    model = Model()
    policy = rlmesh.Chunks(model, prefetch=1)
    driven(policy, 3)
    policy.close()
    policy.close()
    for call in (lambda: policy.act(np.array([0])), policy.reset):
        with pytest.raises(StateError, match="closed"):
            call()
    assert policy.stats().queued == 0


def test_a_model_without_a_reset_or_a_seed_is_driven() -> None:
    class Plain:
        horizon = 1

        def predict_chunk(self, observation: Any) -> Any:
            return [observation]

    class Unseeded(Plain):
        resets = 0

        def reset(self) -> None:
            self.resets += 1

    for model in (Plain(), Unseeded()):
        policy = rlmesh.Chunks(model, prefetch="auto")
        policy.reset(seed=1)
        assert [policy.act(step) for step in range(3)] == [0, 1, 2]
    assert model.resets == 1  # type: ignore[attr-defined]


def test_auto_asks_as_many_actions_ahead_as_the_latency_takes() -> None:
    pace = Pace(most=6)
    assert pace.ahead() == 1
    pace.note_latency(0.05)
    for _ in range(4):
        pace.note_step(0.02)
    assert pace.ahead() == 3
    pace.note_latency(0.5)
    assert pace.ahead() == 6
    for _ in range(4):
        pace.note_latency(0.001)
    assert pace.ahead() == 1
    assert Pace(most=0).ahead() == 0


@pytest.mark.parametrize("kind", [Model, Posted])
def test_auto_keeps_within_the_horizon(kind: type[Model]) -> None:
    model = kind(8)
    with rlmesh.Chunks(model, prefetch="auto") as policy:
        assert policy.execute == 4
        policy.reset()
        found = driven(policy, 40)
        assert 1 <= policy.prefetch <= 4
        stats = policy.stats()
    # Whatever the times: the action number i of a chunk is for the i-th step after its observation.
    assert all(start + index == step for step, (start, index) in enumerate(found))
    assert stats.asked * 8 == 40 + stats.dropped + stats.queued
