"""The prefix and the delay that a client offers reach the served models that take them."""

from __future__ import annotations

import contextlib
from typing import Any

import grpc
import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.spaces import from_gymnasium_space
from rlmesh_api.v1 import session_pb2
from support.comparing import assert_same
from support.contracts import a_contract
from support.golden import MODEL_SERVICE, RawStream
from support.models import (
    ACTIONS,
    HORIZON,
    OBSERVATIONS,
    Gated,
    Model,
    OfChunk,
    Planning,
    act,
    await_queue,
    chunk_of,
    observation,
    remote_model,
    working,
)

SEEN = [observation(seed) for seed in range(12)]
PREFIX = np.full((2, 2), 0.5, np.float32)


@pytest.mark.parametrize("prefetch", [0, 1])
@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_a_served_model_is_offered_what_a_local_one_is(prefetch: int, transport: Any) -> None:
    local, served = Planning(), Planning()
    with rlmesh.Chunks(local, execute=2, prefetch=prefetch) as policy:
        expected = [policy.act(each) for each in SEEN]
    with remote_model(served, transport=transport) as model:
        assert model.model_contract.takes_prefix
        assert model.model_contract.takes_delay
        with rlmesh.Chunks(model, execute=2, prefetch=prefetch) as policy:
            assert_same([policy.act(each) for each in SEEN], expected)
    assert_same(served.offers, local.offers)
    assert [delay for _, delay in served.offers[1:3]] == [prefetch] * 2
    assert served.offers[1][0].shape == (2 + prefetch, 2)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_an_episode_takes_as_many_messages_as_chunks(prefetch: int, transport: Any) -> None:
    with remote_model(OfChunk(), transport=transport) as model:
        with rlmesh.Chunks(model, prefetch=prefetch) as policy:
            policy.reset(seed=1)
            for each in SEEN:
                policy.act(each)
        # Also where the last chunk was asked for ahead.
        calls = {kind: each.count for kind, each in model.stats().items()}
        assert calls == {"reset": 1, "predict": policy.stats().asked}
        executed = HORIZON - prefetch
        assert policy.stats().asked == len(SEEN) // executed + bool(prefetch)


def test_a_model_that_takes_neither_is_offered_neither_and_a_caller_reads_why() -> None:
    with remote_model(OfChunk()) as model, rlmesh.Chunks(model, prefetch=2) as policy:
        contract = model.model_contract
        assert not contract.takes_prefix
        assert not contract.takes_delay
        for each in SEEN[:4]:
            policy.act(each)
    with remote_model(OfChunk()) as model:
        offers: list[dict[str, Any]] = [{"prefix": PREFIX}, {"delay": 1}]
        for given in offers:
            with pytest.raises(InvalidArgumentError, match=f"takes no {next(iter(given))}"):
                model.predict_chunk(SEEN[0], **given)


CAMERA = a_contract(
    observation_space=from_gymnasium_space(
        spaces.Dict({"camera": OBSERVATIONS["image"], "state": OBSERVATIONS["state"]})
    ),
    action_space=from_gymnasium_space(ACTIONS),
)


class Floats(Planning):
    """Takes its image as floats."""

    observation_space = spaces.Dict(
        {"image": spaces.Box(0, 255, (4, 4, 3), np.float32), "state": OBSERVATIONS["state"]}
    )


@pytest.mark.parametrize("wrapped", [False, True])
def test_steps_of_observations_alone_leave_a_model_its_prefix(wrapped: bool) -> None:
    # The second one is applied by the worker, unless the client wraps.
    steps = [
        rlmesh.adapters.rename({"camera": "image"}),
        rlmesh.adapters.cast("float32", at="image"),
    ]
    seen = [{"camera": each["image"], "state": each["state"]} for each in SEEN]
    local, served = Planning(), Floats()
    with rlmesh.Chunks(local, execute=2, prefetch=1) as policy:
        expected = [policy.act(each) for each in SEEN]
    with working(served) as worker, contextlib.ExitStack() as stack:
        if wrapped:
            remote = stack.enter_context(rlmesh.RemoteModel(worker.address))
            model = rlmesh.adapt(remote, CAMERA, steps).wrap(remote)
        else:
            model = stack.enter_context(rlmesh.RemoteModel(worker.address, env=CAMERA, steps=steps))
            assert model.adapter is not None
            assert model.adapter.sides == ("client", "worker")
        with rlmesh.Chunks(model, execute=2, prefetch=1) as policy:
            assert_same([policy.act(each) for each in seen], expected)
    assert_same(served.offers, local.offers)
    assert served.offers[1][0].shape == (3, 2)


class Delayed(OfChunk):
    """Takes the delay alone."""

    def predict_chunk(self, observation: Any, delay: int = -1) -> Any:
        self.called(delay)
        return super().predict_chunk(observation)


def test_an_adapted_model_is_offered_the_delay() -> None:
    served = Delayed()
    with remote_model(served) as remote:
        model = rlmesh.adapt(remote, Model(), [rlmesh.adapters.scale(1.0, on="action")])
        with rlmesh.Chunks(model.wrap(remote), execute=2, prefetch=1) as policy:
            for each in SEEN[:4]:
                policy.act(each)
    assert served.sizes[::2] == [0, 1, 1]


class OfPlans(Gated):
    """Gets the offers of a batch in lists."""

    horizon = HORIZON

    def __init__(self) -> None:
        super().__init__()
        self.offers: list[Any] = []

    def predict_chunk_batch(self, observations: Any, prefixes: Any, delays: Any) -> Any:
        self.offers.append((prefixes, delays))
        self.entered.release()
        self.go_on.acquire()
        return chunk_of(act(observations["state"]))


def test_each_request_of_a_batch_has_its_own_offer() -> None:
    served = OfPlans()
    with working(served) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(3)]
        clients[0].post(SEEN[0], chunk=True)
        served.entered.acquire()
        clients[1].post(SEEN[1], chunk=True, prefix=PREFIX, delay=1)
        clients[2].post(SEEN[2], chunk=True, delay=2)
        await_queue(worker, 2)
        served.go_on.release(2)
        for client in clients:
            client.take()
            client.close()
        served.go_on.release()
        with rlmesh.RemoteModel(worker.address) as client:
            client.predict_chunk(SEEN[0])
    (first, second, last) = served.offers
    assert first == last == ([None], [0])
    # Two clients have posted at once: the batch has their requests in either order.
    offered = sorted(zip(*second, strict=True), key=lambda offer: offer[1])
    assert_same(offered, [(PREFIX, 1), (None, 2)])


def asked(model: rlmesh.RemoteModel, given: Any) -> Any:
    model.post(SEEN[0], **given)
    return model.take()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"prefix": PREFIX, "chunk": False}, InvalidArgumentError, "for a chunk"),
        ({"prefix": PREFIX[:0]}, InvalidArgumentError, "has 1 to 4 actions.*got 0 and 0"),
        ({"prefix": np.zeros((5, 2))}, InvalidArgumentError, "got 5 and 0"),
        (
            {"prefix": np.zeros((2, 3))},
            InvalidArgumentError,
            r"the prefix was refused: \$: expected float32 of shape",
        ),
        ({"prefix": PREFIX * np.nan}, InvalidArgumentError, "the prefix was refused: .*nan"),
        ({"delay": 5}, InvalidArgumentError, "got no prefix and 5"),
        ({"delay": -1}, InvalidArgumentError, "got no prefix and -1"),
        ({"delay": 1.5}, ArgumentTypeError, "a number of actions, got 1.5"),
    ],
)
def test_a_bad_offer_is_refused_by_name_and_the_session_goes_on(
    given: Any, error: type[Exception], message: str
) -> None:
    served = Planning()
    with remote_model(served) as model:
        with pytest.raises(error, match=message):
            asked(model, {"chunk": True, **given})
        assert served.offers == []
        model.predict_chunk(SEEN[0])
    assert served.offers == [(None, 0)]


SLAB = PREFIX.tobytes()
OFFER = session_pb2.ChunkOffer(count=2, prefix=SLAB, delay=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"chunk": False, "offer": OFFER}, "with one observation, for a chunk"),
        ({"count": 1, "offer": OFFER}, "with one observation, for a chunk"),
        ({"offer": session_pb2.ChunkOffer(count=5, prefix=SLAB)}, "at most 4 actions"),
        ({"offer": session_pb2.ChunkOffer(delay=2**32 - 1)}, "at most 4 actions"),
        ({"offer": session_pb2.ChunkOffer(count=1, prefix=SLAB)}, "the prefix's slab is damaged"),
        ({"offer": session_pb2.ChunkOffer(count=2)}, "the prefix's slab is damaged"),
    ],
)
def test_a_worker_refuses_an_offer_that_no_client_of_ours_makes(fields: Any, message: str) -> None:
    served = Planning()
    slab = compile_layout(from_gymnasium_space(OBSERVATIONS)).encode(SEEN[0], [])
    good = {"chunk": True, "observation": slab, "offer": OFFER}
    with working(served) as worker:
        wrong = answer_to(worker, {**good, **fields})
        assert wrong.failure.code == session_pb2.ERROR_CODE_PROTOCOL
        assert message in wrong.failure.message
        assert served.offers == []
        assert answer_to(worker, good).HasField("predict")
    assert_same(served.offers, [(PREFIX, 1)])


def answer_to(worker: rlmesh.ModelWorker, fields: Any) -> session_pb2.SessionResponse:
    """What a session answers to such a call, its first one."""
    target = worker.address.removeprefix("tcp://")
    with grpc.insecure_channel(target) as channel, RawStream(channel, MODEL_SERVICE) as stream:
        opening = session_pb2.OpenCall(protocol_generation=1)
        stream.ask(session_pb2.SessionRequest(sequence=1, open=opening).SerializeToString())
        call = session_pb2.SessionRequest(sequence=2, predict=session_pb2.PredictCall(**fields))
        return session_pb2.SessionResponse.FromString(stream.ask(call.SerializeToString()))
