"""The steps of a client that run beside the model do what they do in the client, with less sent."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Text

import rlmesh
from rlmesh import adapters as ad
from rlmesh.adapters.placement import MOST_STEPS, applied_here
from rlmesh.errors import (
    ContractMismatchError,
    EndpointDrainingError,
    InvalidActionError,
    InvalidObservationError,
)
from rlmesh.spaces import from_gymnasium_space
from rlmesh_api.v1 import adapter_pb2, session_pb2, space_pb2
from support.comparing import assert_same
from support.contracts import a_contract
from support.frail_model import end
from support.golden import MODEL_SERVICE, RawStream
from support.models import Gated, await_queue, working
from support.process import child_processes

IMAGE = Box(0, 255, (24, 24, 3), np.uint8)
ENV = a_contract(
    observation_space=from_gymnasium_space(
        Dict({"camera": IMAGE, "pose": Box(-4, 4, (3,), np.float32), "said": Text(8)})
    ),
    action_space=from_gymnasium_space(Box(-2, 2, (2,), np.float64)),
)
LARGE = 12 * 12 * 3 * 4
STEPS = [
    ad.rename({"camera": "image", "pose": "state"}),
    ad.crop(12, 12, at="image"),
    ad.cast("float32", at="image"),
    ad.scale(1 / 255, at="image"),
    ad.normalize([0.5, 0.25, 0.75], [0.25, 0.5, 0.125], at="image"),
    ad.text("a {said}", into="task"),
    ad.select(["task", "image", "state"]),
    ad.take([2, 0], on="action"),
    ad.scale(2.0, on="action"),
    ad.cast("float64", on="action"),
]
SIDES = [*["client"] * 2, *["worker"] * 6, *["client"] * 2]


class Policy:
    """Gives numbers that depend on every bit that it sees, and on the episode."""

    observation_space = Dict(
        {
            "image": Box(-6, 6, (12, 12, 3), np.float32),
            "state": Box(-4, 4, (3,), np.float32),
            "task": Text(10),
        }
    )
    action_space = Box(-1, 1, (300,), np.float32)
    horizon = 3

    def reset(self, context: rlmesh.ModelContext) -> None:
        context.state = np.zeros(3, np.float32)

    def predict_chunk_batch(self, observations: Any, contexts: Any) -> Any:
        chunks = []
        for image, state, task, context in zip(
            observations["image"],
            observations["state"],
            observations["task"],
            contexts,
            strict=True,
        ):
            context.state = context.state + state
            seen = np.concatenate([image.ravel()[:290], context.state, np.full(7, len(task))])
            chunks.append(np.stack([np.sin(seen + step) for step in range(3)]).astype(np.float32))
        return np.stack(chunks)


def seen(seed: int) -> dict[str, Any]:
    """An observation of the environment."""
    rng = np.random.default_rng(seed)
    return {
        "camera": rng.integers(0, 256, IMAGE.shape, np.uint8),
        "pose": rng.uniform(-4, 4, 3).astype(np.float32),
        "said": "go" * (seed % 3),
    }


SEEN = [seen(seed) for seed in range(4)]


def answers(model: rlmesh.RemoteModel) -> list[Any]:
    """What a session is answered, by every kind of call."""
    model.reset(seed=1)
    found = [model.predict(each) for each in SEEN]
    found += [model.predict_chunk(SEEN[0]), model.predict_batch(SEEN), model(SEEN[1])]
    found += [model.predict_chunk_batch(SEEN[:2])]
    model.post(SEEN[2], chunk=True)
    return [*found, model.take()]


@pytest.fixture
def all_in_the_client(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a client is answered by a worker that applies no steps, as an older one."""
    with monkeypatch.context() as context:
        context.setattr("rlmesh.server.model_worker.applied_here", list)
        with working(Policy()) as worker, asking(worker) as model:
            assert model.adapter is not None
            assert model.adapter.sides == ("client",) * len(STEPS)
            found = answers(model)
            assert model.stats()["predict"].sent_bytes > 10 * LARGE
    return found


def asking(worker: rlmesh.ModelWorker, **settings: Any) -> rlmesh.RemoteModel:
    return rlmesh.RemoteModel(worker.address, env=ENV, steps=STEPS, **settings)


@pytest.mark.parametrize(
    ("serve", "transport", "settings"),
    [
        (working, "shm", {}),
        (working, "direct", {}),
        (working, "grpc", {"compression": "lz4"}),
        (partial(working, isolation="process"), "shm", {}),
    ],
    ids=["shm", "direct", "grpc", "process"],
)
def test_the_values_are_those_of_steps_in_the_client_and_fewer_bytes_cross(
    serve: Callable[..., Any], transport: Any, settings: Any, all_in_the_client: list[Any]
) -> None:
    model = Policy if serve is not working else Policy()
    with serve(model, direct=0) as worker, asking(worker, transport=transport, **settings) as asked:
        assert asked.transport == transport
        assert asked.adapter is not None
        assert asked.adapter.sides == tuple(SIDES)
        assert_same(answers(asked), all_in_the_client)
        stats = asked.stats()["predict"]
        # 13 observations with their cameras as bytes; and no call has the 300 numbers of an action.
        assert stats.sent_bytes < 13 * LARGE / 2
        assert stats.received_bytes < 20 * 300 * 4
        lines = str(asked.adapter).splitlines()
        assert sum(" worker " in line for line in lines) == SIDES.count("worker")


def test_the_observations_of_sessions_with_and_without_steps_are_stacked() -> None:
    class Wide(Gated):
        observation_space = Dict({"state": Box(-8, 8, (600,), np.float32)})

    env = a_contract(
        observation_space=from_gymnasium_space(Dict({"state": Box(0, 1, (600,), np.uint8)})),
        action_space=from_gymnasium_space(Gated.action_space),
    )
    steps = [ad.cast("float32", at="state"), ad.scale(0.5, at="state")]
    served = Wide()
    with working(served) as worker, contextlib.ExitStack() as stack:
        plain = stack.enter_context(rlmesh.RemoteModel(worker.address))
        adapted = [
            stack.enter_context(rlmesh.RemoteModel(worker.address, env=env, steps=steps))
            for _ in range(2)
        ]
        plain.post({"state": np.ones(600, np.float32)})
        served.entered.acquire()
        for each in adapted:
            each.post({"state": np.ones(600, np.uint8)})
        await_queue(worker, 2)
        served.go_on.release(2)
        found = [each.take().tolist() for each in (plain, *adapted)]
        assert served.sizes == [1, 2]
        assert found == [[0.5, 0.5], [0.25, 0.25], [0.25, 0.25]]


def test_what_the_model_may_not_get_or_give_is_refused_and_the_session_goes_on() -> None:
    class Bad(Policy):
        def predict_chunk_batch(self, observations: Any, contexts: Any) -> Any:
            chunks = super().predict_chunk_batch(observations, contexts)
            return chunks * np.nan if observations["task"][0].endswith("bad") else chunks

    with working(Bad()) as worker, asking(worker) as model:
        good = model.predict(SEEN[0])
        with pytest.raises(InvalidActionError, match="the model's answer was refused"):
            model.predict({**SEEN[0], "said": "bad"})
        with pytest.raises(InvalidObservationError, match="at most 10 characters, got 12"):
            model.predict({**SEEN[0], "said": "too long a"})
        with pytest.raises(InvalidObservationError, match="nan"):
            model.predict({**SEEN[0], "pose": np.full(3, np.nan, np.float32)})
        model.reset()
        assert_same(model.predict(SEEN[0]), good)


def test_a_batch_that_is_small_where_it_crosses_makes_nothing_huge_beside_the_model() -> None:
    wide = Box(0, 255, (300, 300, 3), np.float32)
    dot = a_contract(
        observation_space=from_gymnasium_space(Box(0, 255, (1, 1, 3), np.uint8)),
        action_space=from_gymnasium_space(Box(0, 255, (1,), np.float32)),
    )
    spaces: Any = {"observation_space": wide, "action_space": Box(0, 255, (1,), np.float32)}
    steps = [ad.pad(bottom=299, right=299), ad.cast("float32")]
    with working(lambda image: image[0, 0, :1], **spaces) as worker:
        with rlmesh.RemoteModel(worker.address, env=dot, steps=steps) as model:
            dots = np.full((1000, 1, 1, 3), 9, np.uint8)
            with pytest.raises(InvalidObservationError, match="1000 of them have more than"):
                model.predict_batch(dots)
            assert model.predict_batch(dots[:2]).tolist() == [[9], [9]]


def test_steps_that_the_worker_cannot_apply_stay_in_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert {"resize", "color", "frame_stack"}.isdisjoint(applied_here())
    wide = a_contract(
        observation_space=from_gymnasium_space(Box(0, 255, (4, 4, 3), np.uint8)),
        action_space=from_gymnasium_space(Box(-1, 1, (1,), np.float32)),
    )
    with working(lambda image: image[:1, 0, 0], **spaces_of(8)) as worker:
        with rlmesh.RemoteModel(
            worker.address, env=wide, steps=[ad.resize(8, 8), ad.cast("float32"), ad.scale(1 / 255)]
        ) as model:
            assert model.adapter is not None
            assert model.adapter.sides == ("client", "worker", "worker")
            assert model.predict(np.full((4, 4, 3), 255, np.uint8)).tolist() == [1]


def test_a_session_in_a_new_place_has_its_steps_or_says_that_they_are_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env = a_contract(
        observation_space=from_gymnasium_space(Box(-1, 1, (8,), np.int8)),
        action_space=from_gymnasium_space(Box(-1, 1, (1,), np.float32)),
    )
    address, ones = f"unix://{tmp_path}/model", np.ones(8, np.int8)
    with contextlib.ExitStack() as stack:
        with working(_Halving, address, isolation="process"):
            model = rlmesh.RemoteModel(address, env=env, steps=[ad.cast("float32")])
            stack.enter_context(model)
            assert model.predict(ones).tolist() == [0.5]
            [pid] = [each for each, line in child_processes().items() if "models.process" in line]
            os.kill(pid, signal.SIGKILL)
            end(pid)
            assert model.predict(ones).tolist() == [0.5]
        with working(_Halving(), address):
            with pytest.raises(EndpointDrainingError):
                model.predict(ones)
            model.reset()
            assert model.predict(ones).tolist() == [0.5]
        monkeypatch.setattr("rlmesh.server.model_worker.applied_here", list)
        with working(_Halving(), address):
            with pytest.raises(EndpointDrainingError):
                model.predict(ones)
            with pytest.raises(ContractMismatchError, match="applies the steps cast no more"):
                model.reset()


class _Halving:
    observation_space = Box(-1, 1, (8,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)

    def predict(self, observation: Any) -> Any:
        return observation[:1] / 2


def spaces_of(size: int) -> dict[str, Any]:
    image = Box(0, 1, (size, size, 3), np.float32)
    return {"observation_space": image, "action_space": Box(-1, 1, (1,), np.float32)}


def asked_for(steps: list[Any], shape: tuple[int, ...] = (3,)) -> session_pb2.SessionAdaptation:
    space = from_gymnasium_space(Box(-1, 1, shape, np.float32)).to_proto()
    return session_pb2.SessionAdaptation(
        observation_space=space,
        action_space=from_gymnasium_space(Box(-1, 1, (1,))).to_proto(),
        adaptation=ad.Adaptation(steps=tuple(steps)).to_proto(),
    )


def unknown() -> session_pb2.SessionAdaptation:
    call = asked_for([])
    call.adaptation.steps.add(name="dream", on=adapter_pb2.ADAPTER_FLOW_OBSERVATION)
    return call


def misnamed() -> session_pb2.SessionAdaptation:
    call = asked_for([ad.scale(1.0)])
    call.adaptation.steps[0].name = "clip"
    return call


HUGE = session_pb2.SessionAdaptation(
    observation_space=space_pb2.Space(box=space_pb2.BoxSpace(shape=[1 << 40, 1 << 20])),
    action_space=asked_for([]).action_space,
)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (unknown(), "does not know the step 'dream'"),
        (misnamed(), "is named 'clip' and its operation is 'scale'"),
        (asked_for([ad.frame_stack(2)]), "the step frame_stack is for clients alone"),
        (asked_for([ad.scale(1.0)] * (MOST_STEPS + 1)), "at most 64 steps"),
        (asked_for([], (4,)), r"observation_space: expected values of at most 12 bytes"),
        (asked_for([ad.take([0] * (1 << 19))]), "a result of at most 1048576 bytes"),
        (asked_for([ad.scale(3.0)]), "bounds"),
        (asked_for([ad.rename({"a": "b"})]), "a Dict"),
        (session_pb2.SessionAdaptation(), "observation_space"),
        (HUGE, "observation_space"),
    ],
    ids=[
        "unknown",
        "misnamed",
        "stack",
        "many",
        "wide",
        "growing",
        "left",
        "wrong",
        "none",
        "huge",
    ],
)
def test_a_worker_refuses_hostile_steps_by_name(
    call: session_pb2.SessionAdaptation, reason: str
) -> None:
    spaces: Any = {"observation_space": Box(-1, 1, (3,)), "action_space": Box(-1, 1, (1,))}
    with working(lambda seen: seen[:1], sessions=1, **spaces) as worker:
        opening = session_pb2.OpenCall(protocol_generation=1, adaptation=call)
        request = session_pb2.SessionRequest(sequence=1, open=opening)
        with grpc.insecure_channel(worker.address.removeprefix("tcp://")) as channel:
            with RawStream(channel, MODEL_SERVICE) as stream:
                answer = stream.ask(request.SerializeToString())
        failure = session_pb2.SessionResponse.FromString(answer).failure
        assert failure.code == session_pb2.ERROR_CODE_INVALID_ARGUMENT
        assert "the steps of the session were refused" in failure.message
        assert reason in failure.message
        # Its place is free.
        with rlmesh.RemoteModel(worker.address) as model:
            assert model.predict(np.ones(3, np.float32)).tolist() == [1]
