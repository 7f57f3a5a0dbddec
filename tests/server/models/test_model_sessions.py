"""Sessions with a model do not disturb each other, and no request is executed twice."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import weakref
from types import FrameType
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.client.probing import fetch_status
from rlmesh.errors import EndpointBusyError, RemoteModelError, StateError
from rlmesh.server.models import batcher
from support.comparing import assert_same
from support.models import (
    Gated,
    Model,
    OfChunks,
    OfMany,
    OfOne,
    Recurrent,
    RecurrentBatches,
    act,
    await_queue,
    chunk_of,
    observation,
    remote_model,
    working,
)

SEEN = [observation(seed) for seed in range(40)]


def episode(model: rlmesh.RemoteModel, seed: int) -> list[Any]:
    model.reset(seed=seed)
    return [model.predict(each) for each in SEEN]


@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_the_same_seed_gives_the_same_episode(transport: Any) -> None:
    with remote_model(Recurrent(), transport=transport) as model:
        first, other, again = episode(model, 3), episode(model, 4), episode(model, 3)
    assert_same(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("make", [Recurrent, RecurrentBatches])
def test_eight_seeded_clients_at_once_get_what_each_gets_alone(make: Any) -> None:
    served = make()
    with working(served) as worker:
        alone: list[Any] = []
        for seed in range(8):
            with rlmesh.RemoteModel(worker.address) as model:
                alone.append(episode(model, seed))
        together: dict[int, Any] = {}
        start = threading.Barrier(8)

        def run(seed: int) -> None:
            with rlmesh.RemoteModel(worker.address) as model:
                start.wait()
                together[seed] = episode(model, seed)

        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert_same([together[seed] for seed in range(8)], alone)
    assert len({np.asarray(each).tobytes() for each in alone}) == 8
    # Batches of several sessions were among them, where the model takes batches.
    assert (max(served.sizes) > 1) == (make is RecurrentBatches)


def await_session_threads(count: int) -> None:
    while sum(each.name == "rlmesh-model-session" for each in threading.enumerate()) != count:
        threading.Event().wait(0.005)


def await_no_session(worker: rlmesh.ModelWorker) -> None:
    while fetch_status(worker.address, 20.0).sessions:
        threading.Event().wait(0.005)
    await_session_threads(0)


@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_the_only_session_of_a_worker_runs_on_the_thread_of_the_model(transport: Any) -> None:
    served = Recurrent()
    with working(served, sessions=1, direct=0) as worker:
        for seed in (3, 4):
            with rlmesh.RemoteModel(worker.address, transport=transport) as model:
                alone = episode(model, seed)
                assert model.stats()["predict"].mean_batch_size == 1
            with remote_model(Recurrent()) as other:
                assert_same(alone, episode(other, seed))
    assert len(served.threads) == 1


class Traced(OfChunks):
    """Notes the functions of RLMesh that its thread calls from the second prediction to the last.

    The first one fills caches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[str] = []

    def predict_chunk(self, observation: Any) -> Any:
        self.called(1)
        sys.setprofile(self.trace if 1 < len(self.sizes) < 4 else None)
        return chunk_of(act(observation["state"]))

    def trace(self, frame: FrameType, event: str, _: object) -> None:
        # How often it looks for a message is not the same in two runs.
        place = frame.f_code.co_filename
        if event == "call" and ("/rlmesh/server/models/" in place or "/rlmesh/codec/" in place):
            self.functions.append(f"{place}: {frame.f_code.co_name}")


def test_a_lone_client_is_answered_by_the_same_functions_with_and_without_batches() -> None:
    traced = [Traced(), Traced()]
    for model, limit in zip(traced, (None, 1), strict=True):
        with working(model, max_batch_size=limit) as worker:
            with rlmesh.RemoteModel(worker.address, transport="shm") as client:
                for seed in range(4):
                    client.predict_chunk(observation(seed))
    assert traced[0].functions == traced[1].functions
    assert any("batcher.py" in each for each in traced[0].functions)


@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_a_session_goes_on_where_another_one_joins_it_at_the_thread_of_the_model(
    transport: Any,
) -> None:
    served = Gated()
    with working(served, direct=0) as worker, contextlib.ExitStack() as stack:

        def connect() -> rlmesh.RemoteModel:
            return stack.enter_context(rlmesh.RemoteModel(worker.address, transport=transport))

        first = connect()
        await_session_threads(0)
        first.post(SEEN[0])
        served.entered.acquire()
        others = [connect() for _ in range(2)]
        await_session_threads(3)
        for client in others:
            client.post(SEEN[1])
        await_queue(worker, 2)
        served.go_on.release(4)
        for client, seen in ((first, SEEN[0]), *((other, SEEN[1]) for other in others)):
            assert_same(client.take(), act(seen["state"]))
        assert_same(first.predict(SEEN[2]), act(SEEN[2]["state"]))
        first.reset()
        assert_same(first.predict(SEEN[3]), act(SEEN[3]["state"]))
        stack.pop_all().close()
        await_no_session(worker)
        served.go_on.release()
        assert_same(connect().predict(SEEN[4]), act(SEEN[4]["state"]))
        await_session_threads(0)
    assert len(served.threads) == 1


def test_a_session_that_closes_before_it_has_left_the_thread_of_the_model_leaves_nothing() -> None:
    served = Gated()
    with working(served) as worker:
        first = rlmesh.RemoteModel(worker.address)
        first.post(SEEN[0])
        served.entered.acquire()
        with rlmesh.RemoteModel(worker.address) as second:
            first.close()
            second.post(SEEN[1])
            served.go_on.release(2)
            assert_same(second.take(), act(SEEN[1]["state"]))
        await_no_session(worker)


def test_clients_that_ask_again_at_once_are_answered_together(monkeypatch: Any) -> None:
    # The pause in which they may come is as long as this machine needs.
    monkeypatch.setattr(batcher, "_RETURN_PART", 1e6)
    served = Gated()
    with working(served) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(2)]
        clients[0].post(SEEN[0])
        served.entered.acquire()
        clients[1].post(SEEN[1])
        await_queue(worker, 1)
        served.go_on.release(2)
        clients[0].take()
        clients[0].post(SEEN[2])
        assert_same(clients[0].take(), act(SEEN[2]["state"]))
        assert_same(clients[1].take(), act(SEEN[1]["state"]))
        assert served.sizes == [1, 2]
        for client in clients:
            client.close()


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_the_only_session_goes_on_through_reloads_and_the_next_one_after_it(transport: Any) -> None:
    models = [OfOne() for _ in range(4)]
    with working(models[0], sessions=1) as worker:
        for first, second in ((models[1], models[2]), (models[3], OfOne())):
            with rlmesh.RemoteModel(worker.address, transport=transport) as model:
                for served in (first, second):
                    worker.reload(served)
                    model.reset()
                    assert_same(model.predict(SEEN[0]), act(SEEN[0]["state"]))
                    assert served.sizes == [1]
        assert worker.model_contract.id


def test_each_place_of_a_batch_has_its_own_state() -> None:
    with remote_model(Recurrent()) as model:
        model.reset(seed=5)
        batches = [model.predict_batch([each, SEEN[0]]) for each in SEEN[:5]]
        assert_same([batch[0] for batch in batches], episode(model, 5)[:5])


def test_a_state_ends_with_its_session_and_not_with_the_garbage_collector() -> None:
    class State:
        pass

    ends: list[weakref.ref[State]] = []

    class Keeping(Model):
        def predict(self, observation: Any, context: rlmesh.ModelContext) -> Any:
            if context.state is None:
                context.state = State()
                ends.append(weakref.ref(context.state))
            return act(observation["state"])

    gc.disable()
    try:
        with working(Keeping()) as worker:
            with rlmesh.RemoteModel(worker.address) as model:
                for _ in range(2):
                    model.reset()
                    model.predict(SEEN[0])
                assert [end() is None for end in ends] == [True, False]
            while ends[1]() is not None:
                threading.Event().wait(0.005)
    finally:
        gc.enable()


def test_requests_that_wait_are_computed_together() -> None:
    served = Gated()
    with working(served) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(4)]
        clients[0].post(SEEN[0])
        served.entered.acquire()
        for number, client in enumerate(clients[1:], 1):
            client.post(SEEN[number])
        await_queue(worker, 3)
        served.go_on.release(2)
        for number, client in enumerate(clients):
            assert_same(client.take(), act(SEEN[number]["state"]))
        assert served.sizes == [1, 3]
        assert clients[1].stats()["predict"].mean_batch_size == 3
        assert clients[1].stats()["predict"].queue_seconds > 0
        for client in clients:
            client.close()


def test_a_batch_has_at_most_so_many_observations() -> None:
    served = Gated()
    with working(served, max_batch_size=2) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(4)]
        clients[0].post(SEEN[0])
        served.entered.acquire()
        for client in clients[1:]:
            client.post(SEEN[1])
        await_queue(worker, 3)
        served.go_on.release(3)
        for client in clients:
            client.take()
            client.close()
        assert served.sizes == [1, 2, 1]
        with rlmesh.RemoteModel(worker.address) as client:
            served.go_on.release(3)
            assert client.predict_batch(SEEN[:5]).shape == (5, 2)
        assert served.sizes[3:] == [2, 2, 1]


def test_a_batch_waits_for_others_as_long_as_it_may() -> None:
    served = OfMany()
    with working(served, batch_wait_seconds=20.0) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(2)]
        for client in clients:
            client.post(SEEN[0])
        for client in clients:
            client.take()
        assert served.sizes == [2]
        clients[0].close()
        clients[1].predict(SEEN[0])
        clients[1].close()


def test_beyond_the_limit_a_request_is_refused_at_once_and_the_session_goes_on() -> None:
    served = Gated()
    with working(served, queue_limit=1) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(3)]
        clients[0].post(SEEN[0])
        served.entered.acquire()
        clients[1].post(SEEN[1])
        await_queue(worker, 1)
        with pytest.raises(EndpointBusyError, match="1 requests wait") as caught:
            clients[2].predict(SEEN[2])
        assert caught.value.queue_length == 1
        served.go_on.release(3)
        clients[0].take()
        clients[1].take()
        assert_same(clients[2].predict(SEEN[2]), act(SEEN[2]["state"]))
        for client in clients:
            client.close()


class Picky(Gated):
    """Fails where an observation is dark; the model keeps state if the test says so."""

    keeps_state = False

    def predict_batch(self, observations: Any) -> Any:
        self.entered.release()
        self.go_on.acquire()
        if (observations["image"].reshape(len(observations["image"]), -1).max(1) == 0).any():
            raise ValueError("too dark")
        return OfMany.predict_batch(self, observations)


@pytest.mark.parametrize("keeps_state", [False, True])
def test_one_bad_request_of_a_batch_fails_alone_unless_the_model_keeps_state(
    keeps_state: bool,
) -> None:
    served = Picky()
    served.keeps_state = keeps_state
    dark = {**SEEN[1], "image": np.zeros((4, 4, 3), np.uint8)}
    with working(served) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(3)]
        clients[0].post(SEEN[0])
        served.entered.acquire()
        clients[1].post(dark)
        clients[2].post(SEEN[2])
        await_queue(worker, 2)
        served.go_on.release(8)
        clients[0].take()
        with pytest.raises(RemoteModelError, match="too dark"):
            clients[1].take()
        if keeps_state:
            with pytest.raises(RemoteModelError, match="too dark"):
                clients[2].take()
        else:
            assert_same(clients[2].take(), act(SEEN[2]["state"]))
        for client in clients:
            client.close()


class Sparse(Gated):
    """Gives NaN for one observation of a batch."""

    def predict_batch(self, observations: Any) -> Any:
        actions = super().predict_batch(observations)
        actions[observations["state"][:, 2] == 0] = np.nan
        return actions


def test_an_answer_that_its_space_refuses_fails_its_own_request_only() -> None:
    served = Sparse()
    strange = {**SEEN[1], "state": np.zeros(3, np.float32)}
    with working(served) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(3)]
        clients[0].post(SEEN[0])
        served.entered.acquire()
        clients[1].post(strange)
        clients[2].post(SEEN[2])
        await_queue(worker, 2)
        served.go_on.release(2)
        clients[0].take()
        with pytest.raises(rlmesh.errors.InvalidActionError, match="nan at"):
            clients[1].take()
        assert_same(clients[2].take(), act(SEEN[2]["state"]))
        for client in clients:
            client.close()


def test_after_a_given_up_call_a_model_that_keeps_state_needs_a_reset() -> None:
    served = Gated()
    served.keeps_state = True  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] # a model may
    with working(served) as worker:
        with rlmesh.RemoteModel(worker.address, request_timeout_seconds=0.2) as model:
            reason = "in that call. The next call of a model that keeps state must be a reset"
            with pytest.raises(rlmesh.errors.CallTimeoutError, match=reason):
                model.predict(SEEN[0])
            with pytest.raises(StateError, match="reset"):
                model.predict(SEEN[0])
            served.go_on.release(100)
        with rlmesh.RemoteModel(worker.address) as model:
            model.reset()
            model.predict(SEEN[0])


def test_a_model_without_state_goes_on_after_a_given_up_call() -> None:
    served = Gated()
    with working(served) as worker:
        with rlmesh.RemoteModel(worker.address, request_timeout_seconds=0.5) as model:
            with pytest.raises(rlmesh.errors.CallTimeoutError):
                model.predict(SEEN[0])
            served.go_on.release(100)
            assert_same(model.predict(SEEN[1]), act(SEEN[1]["state"]))


def test_the_same_session_opens_again_after_its_server_was_replaced() -> None:
    with working(OfOne()) as worker:
        address = worker.address
        model = rlmesh.RemoteModel(address)
        model.predict(SEEN[0])
    with working(OfOne(), address):
        with pytest.raises((rlmesh.errors.EndpointError, StateError)):
            model.predict(SEEN[0])
        model.reset()
        assert_same(model.predict(SEEN[1]), act(SEEN[1]["state"]))
    model.close()
