"""A served model answers as the local one does, over every transport and with every method."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.codec.vector.stacking import compile_stack
from rlmesh.errors import (
    InvalidActionError,
    InvalidArgumentError,
    InvalidModelError,
    InvalidObservationError,
    RemoteModelError,
    StateError,
)
from rlmesh.spaces import from_gymnasium_space
from support.comparing import assert_same
from support.models import (
    ACTIONS,
    HORIZON,
    OBSERVATIONS,
    Model,
    OfChunk,
    OfChunks,
    OfMany,
    OfOne,
    act,
    chunk_of,
    observation,
    remote_model,
    working,
)
from support.sample_spaces import SAMPLE_SPACES, UNSAMPLEABLE

TRANSPORTS = ["shm", "direct", "grpc"]
SEEN = [observation(seed) for seed in range(3)]
STACKED = compile_stack(from_gymnasium_space(OBSERVATIONS))(SEEN)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("make", [OfOne, OfMany, OfChunk, OfChunks])
def test_every_method_is_there_whichever_the_model_has(
    make: Callable[[], Model], transport: Any
) -> None:
    expected = act(SEEN[0]["state"])
    with remote_model(make(), transport=transport) as model:
        assert model.transport == transport
        assert_same(model.predict(SEEN[0]), expected)
        assert_same(model(SEEN[0]), expected)
        assert_same(model.predict_batch(SEEN), act(STACKED["state"]))
        assert_same(model.predict_batch(STACKED), act(STACKED["state"]))
        if hasattr(make, "horizon"):
            chunks = chunk_of(act(STACKED["state"]))
        else:
            chunks = act(STACKED["state"])[:, None]
        assert_same(model.predict_chunk(SEEN[0]), chunks[0])
        assert_same(model.predict_chunk_batch(SEEN), chunks)


@pytest.mark.parametrize("name", [name for name in SAMPLE_SPACES if name not in UNSAMPLEABLE])
def test_values_of_every_space_arrive_as_they_are(name: str) -> None:
    space = SAMPLE_SPACES[name]
    space.seed(3)
    given = [space.sample() for _ in range(4)]
    if isinstance(space, spaces.Box):
        # Gymnasium samples a scalar of a box of shape ().
        given = [np.asarray(value) for value in given]
    seen: list[Any] = []

    def echo(value: Any) -> Any:
        seen.append(value)
        return value

    with working(echo, observation_space=space, action_space=space) as worker:
        with rlmesh.RemoteModel(worker.address) as model:
            for value in given:
                assert_same(model.predict(value), value)
            assert_same(seen, given)
            if name != "text_no_characters":
                stack = compile_stack(from_gymnasium_space(space))
                assert_same(model.predict_batch(given), stack(given))


def test_the_model_is_called_on_one_thread() -> None:
    served = OfMany()
    with working(served) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(3)]
        for client in clients:
            client.predict(SEEN[0])
            client.close()
    assert len(served.threads) == 1
    assert threading.get_ident() not in served.threads


def test_posting_lets_the_caller_work_meanwhile() -> None:
    with remote_model(OfChunk()) as model:
        model.post(SEEN[0])
        calls: list[Any] = [
            lambda: model.predict(SEEN[1]),
            model.reset,
            lambda: model.post(SEEN[1]),
        ]
        for call in calls:
            with pytest.raises(StateError, match=r"what was posted to .* was not taken; call take"):
                call()
        assert_same(model.take(), act(SEEN[0]["state"]))
        model.post(SEEN[1], chunk=True)
        assert_same(model.take(), chunk_of(act(SEEN[1]["state"])))
        with pytest.raises(StateError, match="nothing was posted"):
            model.take()


def test_several_models_stand_behind_one_address() -> None:
    models = {"half": OfOne(), "chunks": OfChunks()}
    with working(models) as worker:
        assert set(worker.model_contracts) == set(models)
        with rlmesh.RemoteModel(worker.address, model="chunks") as client:
            assert client.model_contract == worker.model_contracts["chunks"]
            assert client.model_contract.horizon == HORIZON
            client.predict_chunk(SEEN[0])
        with pytest.raises(InvalidArgumentError, match="'chunks', 'half'; say which one"):
            rlmesh.RemoteModel(worker.address)
        with pytest.raises(InvalidArgumentError, match=r"model='other'.*serves 'chunks', 'half'"):
            rlmesh.RemoteModel(worker.address, model="other")
    assert models["half"].sizes == []
    assert models["chunks"].sizes == [1]


def test_the_contract_says_what_the_model_is() -> None:
    class Named(OfChunk):
        id = "Pick-v3"
        metadata = {"trained on": "bridge"}  # noqa: RUF012 - as Gymnasium has it

    with working(Named(), max_batch_size=8) as worker:
        with rlmesh.RemoteModel(worker.address) as client:
            contract = client.model_contract
    assert contract == worker.model_contract
    assert (contract.id, contract.horizon, contract.keeps_state) == ("Pick-v3", HORIZON, False)
    assert contract.observation_space == from_gymnasium_space(OBSERVATIONS)
    assert contract.action_space == from_gymnasium_space(ACTIONS)
    assert contract.max_batch_size == 8
    assert contract.metadata == {"trained on": "bridge"}


class NoSpaces:
    def predict(self, observation: Any) -> Any:
        return observation


class NoMethod(Model):
    pass


class NoHorizon(OfChunk):
    horizon: Any = None


class LongHorizon(OfOne):
    horizon = 3


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (NoSpaces(), "NoSpaces has no observation_space"),
        (NoMethod(), "NoMethod without any"),
        (OfOne, "got the class OfOne; make an instance"),
        (NoHorizon(), "gives chunks and has no horizon"),
        (LongHorizon(), "has the horizon 3 and gives no chunks"),
        ({}, "must have one or more"),
        ({"": OfOne()}, "must be a str that is not empty"),
        (gymnasium.make("CartPole-v1"), "without any"),
    ],
)
def test_what_is_no_model_is_refused_by_name(model: Any, text: str) -> None:
    with pytest.raises(InvalidModelError, match=text):
        rlmesh.ModelWorker(model)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"image": SEEN[0]["image"]}, r"\$: expected a dict with the keys 'image', 'state'"),
        ({**SEEN[0], "state": np.zeros(4, np.float32)}, r"\$\.state: .*\(3,\)"),
        ({**SEEN[0], "state": np.full(3, np.nan, np.float32)}, r"\$\.state.*nan|NaN"),
        (np.zeros(4, np.float32), "expected a dict"),
    ],
)
def test_an_observation_of_another_environment_names_the_leaf(wrong: Any, text: str) -> None:
    served = OfOne()
    with remote_model(served) as model:
        with pytest.raises(InvalidObservationError, match=text):
            model.predict(wrong)
        assert served.sizes == []
        assert_same(model.predict(SEEN[0]), act(SEEN[0]["state"]))


class Answering(Model):
    """Gives what the test says."""

    horizon = HORIZON
    answer: Any = None

    def predict_chunk(self, observation: Any) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (np.zeros((HORIZON - 1, 2), np.float32), r"\(4, 2\)"),
        (np.zeros((HORIZON, 3), np.float32), r"\(4, 2\)"),
        (np.full((HORIZON, 2), np.nan, np.float32), "nan at"),
        (None, r"\$"),
    ],
)
def test_a_chunk_that_does_not_fit_names_the_leaf_and_the_session_goes_on(
    answer: Any, text: str
) -> None:
    served = Answering()
    with remote_model(served) as model:
        served.answer = answer
        with pytest.raises(InvalidActionError, match=text):
            model.predict_chunk(SEEN[0])
        served.answer = np.zeros((HORIZON, 2), np.float32)
        assert_same(model.predict_chunk(SEEN[0]), served.answer)


def test_an_action_out_of_its_bounds_is_delivered_and_noticed() -> None:
    served = Answering()
    served.answer = np.full((HORIZON, 2), 3, np.float32)
    with remote_model(served) as model:
        assert_same(model.predict_chunk(SEEN[0]), served.answer)
        [notice] = model.notices
        assert (notice["kind"], notice["path"]) == ("bounds", "$")


def test_a_strict_worker_refuses_an_action_out_of_its_bounds() -> None:
    served = Answering()
    served.answer = np.full((HORIZON, 2), 3, np.float32)
    with working(served, validation="strict") as worker:
        with rlmesh.RemoteModel(worker.address) as model:
            with pytest.raises(InvalidActionError, match="above"):
                model.predict_chunk(SEEN[0])


class Failing(OfOne):
    def predict(self, observation: Any) -> Any:
        if observation["state"][0] > 2:
            raise AssertionError
        raise KeyError("a weight is missing")


def test_an_exception_of_the_model_arrives_with_its_type_and_traceback() -> None:
    with remote_model(Failing()) as model:
        with pytest.raises(RemoteModelError, match="the model raised KeyError") as caught:
            model.predict(SEEN[0])
        assert isinstance(caught.value, KeyError)
        assert caught.value.exception_type == "KeyError"
        assert "in predict" in caught.value.remote_traceback
        model.reset()


def test_a_callable_with_text_observations_is_a_model() -> None:
    texts = spaces.Text(20)
    with working(len, observation_space=texts, action_space=spaces.Discrete(21)) as worker:
        with rlmesh.RemoteModel(worker.address) as model:
            assert model.predict("pick") == 4
            assert_same(model.predict_batch(["a", "bcd"]), np.array([1, 3]))
            with pytest.raises(InvalidArgumentError, match="one observation or more"):
                model.predict_batch([])
