"""`frame_stack`: the last frames of an episode, each once, whatever happens to a call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh import adapters as ad
from rlmesh.errors import InvalidArgumentError, RemoteModelError
from rlmesh.spaces import to_gymnasium_space
from support.models import working

ENV = SimpleNamespace(
    observation_space=spaces.Box(1, 9, (1,), np.float32),
    action_space=spaces.Box(-99, 99, (3,), np.float32),
)
STEPS = [ad.frame_stack(3), ad.reshape((3,))]


def frame(number: int) -> Any:
    return np.array([number], np.float32)


class Echo:
    """Gives the frames back that it is shown, and fails where it is asked to."""

    observation_space = spaces.Box(1, 9, (3,), np.float32)
    action_space = ENV.action_space
    adaptation = STEPS

    def __init__(self) -> None:
        self.fails = False

    def predict(self, observation: Any) -> Any:
        if self.fails:
            raise RuntimeError("no")
        return observation


class EchoBatches(Echo):
    """The same in batches."""

    predict: Any = None

    def predict_batch(self, observations: Any) -> Any:
        return Echo.predict(self, observations)


def asked(policy: Any, *numbers: int) -> list[list[int]]:
    return [policy.predict(frame(number)).tolist() for number in numbers]


def test_an_episode_begins_with_padding_and_forgets_what_is_old() -> None:
    policy = rlmesh.adapt(Echo(), ENV, STEPS).wrap(Echo())
    episode = [[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert asked(policy, 1, 2, 3, 4) == episode
    policy.reset()
    assert asked(policy, 5, 6) == [[5, 5, 5], [5, 5, 6]]
    model = SimpleNamespace(observation_space=spaces.Box(0, 9, (3,)), action_space=ENV.action_space)
    adapter = rlmesh.adapt(model, ENV, [ad.frame_stack(3, padding="zero", axis=-1), STEPS[1]])
    history = adapter.history()
    seen = [adapter.observation(frame(number), history).tolist() for number in (1, 2)]
    assert seen == [[0, 0, 1], [0, 1, 2]]
    stacked = to_gymnasium_space(adapter.observation_space)
    assert isinstance(stacked, spaces.Box)
    assert stacked.low.tolist() == [0, 0, 1]
    assert repr(history) == "<History of 2 frames>"


def test_the_frames_are_those_of_gymnasium() -> None:
    env = gymnasium.make("CartPole-v1")
    stacked = gymnasium.wrappers.FrameStackObservation(gymnasium.make("CartPole-v1"), 4)
    adapter = rlmesh.adapt(stacked, env, [ad.frame_stack(4)])
    history = adapter.history()
    one, other = env.reset(seed=3)[0], stacked.reset(seed=3)[0]
    for _ in range(6):
        # An environment that uses its memory again changes no frame.
        given = one.copy()
        assert np.array_equal(adapter.observation(given, history), other)
        given[:] = 0
        one, other = env.step(1)[0], stacked.step(1)[0]


def test_a_history_belongs_to_its_adapter_and_is_needed() -> None:
    adapter = rlmesh.adapt(Echo(), ENV, STEPS)
    for history in (None, rlmesh.adapt(Echo(), ENV, STEPS).history(), 3):
        with pytest.raises(InvalidArgumentError, match="a history that this adapter has made"):
            adapter.observation(frame(1), history)  # type: ignore[arg-type]
    kept = adapter.history()
    adapter.observation(frame(1), kept)
    with pytest.raises(rlmesh.errors.InvalidObservationError):
        adapter.observation(np.zeros(2), kept)
    # What was refused is not in it.
    assert adapter.observation(frame(2), kept).tolist() == [1, 1, 2]
    assert "frames=3, padding=first" in str(adapter)


@pytest.mark.parametrize("model", [Echo(), EchoBatches()])
def test_a_served_adapter_keeps_the_frames_of_each_session_apart(model: Echo) -> None:
    adapter = rlmesh.adapt(Echo(), ENV, STEPS)
    with working(adapter.wrap(model)) as worker:
        assert worker.model_contract.keeps_state
        assert worker.model_contract.adaptation is None
        one, other = (rlmesh.RemoteModel(worker.address, env=env_of(worker)) for _ in range(2))
        with one, other:
            assert asked(one, 1, 2) == [[1, 1, 1], [1, 1, 2]]
            assert asked(other, 5) == [[5, 5, 5]]
            model.fails = True
            with pytest.raises(RemoteModelError):
                one.predict(frame(3))
            model.fails = False
            # The frame of the call that failed comes again, and is there once.
            assert asked(one, 3, 4) == [[1, 2, 3], [2, 3, 4]]
            one.reset()
            assert asked(one, 7) == [[7, 7, 7]]
            batch = one.predict_batch(np.stack([frame(8), frame(9)]))
            assert batch.tolist() == [[7, 7, 8], [9, 9, 9]]


def env_of(worker: rlmesh.ModelWorker) -> rlmesh.EnvContract:
    contract = worker.model_contract
    return rlmesh.EnvContract(
        id="E-v0",
        num_envs=1,
        observation_space=contract.observation_space,
        action_space=contract.action_space,
    )


def test_a_client_whose_model_brings_the_step_shows_a_frame_once() -> None:
    model = Echo()
    with working(rlmesh.adapt(Echo(), ENV, STEPS).wrap(Echo())) as shape, working(model) as worker:
        env = env_of(shape)
        assert worker.model_contract.adaptation == ad.Adaptation(steps=tuple(STEPS))
        with rlmesh.RemoteModel(worker.address, env=env) as remote:
            assert asked(remote, 1, 2) == [[1, 1, 1], [1, 1, 2]]
            model.fails = True
            with pytest.raises(RemoteModelError):
                remote.predict(frame(3))
            remote.post(frame(3))
            with pytest.raises(RemoteModelError):
                remote.take()
            model.fails = False
            assert asked(remote, 3) == [[1, 2, 3]]
            batch = remote.predict_batch([frame(4), frame(5)])
            assert batch.tolist() == [[2, 3, 4], [5, 5, 5]]
            remote.reset(seed=1)
            assert asked(remote, 6) == [[6, 6, 6]]
