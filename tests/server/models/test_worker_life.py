"""The life of a worker: warm-up, health, status, drain, and what an address is refused for."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.client.probing import fetch_contract, fetch_status
from rlmesh.errors import (
    AddressInUseError,
    ArgumentTypeError,
    EndpointDrainingError,
    InvalidAddressError,
    InvalidArgumentError,
    StateError,
)
from support.comparing import assert_same
from support.models import Gated, Model, OfMany, OfOne, act, observation, working
from support.serving import start_python
from support.watching import NOT_SERVING, SERVING, check_health

SEEN = observation(1)


class Warming(OfOne):
    """Compiles until the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def warmup(self) -> None:
        self.begun.set()
        self.go_on.wait()


def test_health_says_serving_once_a_model_is_warmed_up_for_each_name() -> None:
    warming = Warming()
    worker = rlmesh.ModelWorker({"slow": warming, "fast": OfOne()})
    starting = threading.Thread(target=worker.start)
    starting.start()
    try:
        warming.begun.wait()
        while check_health(worker.address, "fast") != SERVING:
            threading.Event().wait(0.01)
        assert check_health(worker.address, "slow") == NOT_SERVING
        assert check_health(worker.address) == NOT_SERVING
        states = {each.name: each for each in fetch_status(worker.address, 20.0).models}
        assert (states["slow"].ready, states["slow"].call) == (False, "warmup")
        assert "in warmup" in states["slow"].stack
        assert states["fast"].ready
        warming.go_on.set()
        starting.join()
        for name in ("", "slow", "fast", "rlmesh_api.v1.ModelService"):
            assert check_health(worker.address, name) == SERVING
    finally:
        warming.go_on.set()
        worker.shutdown()
        starting.join()


def test_a_worker_that_shall_not_warm_up_serves_at_once() -> None:
    with working(Warming(), warmup=False) as worker, rlmesh.RemoteModel(worker.address) as model:
        assert check_health(worker.address) == SERVING
        assert_same(model.predict(SEEN), act(SEEN["state"]))


class Cold(OfOne):
    def __init__(self) -> None:
        super().__init__()
        self.closed = 0

    def warmup(self) -> None:
        raise RuntimeError("no weights")

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("verb", ["start", "serve"])
def test_a_warm_up_that_fails_ends_the_worker_and_is_raised(verb: str) -> None:
    model = Cold()
    worker = rlmesh.ModelWorker(model)
    with pytest.raises(RuntimeError, match="no weights"):
        getattr(worker, verb)()
    assert worker.wait(20)
    assert model.closed == 1


def test_the_status_names_the_call_the_queue_and_the_place_in_the_code() -> None:
    served = Gated()
    with working(served) as worker:
        clients = [rlmesh.RemoteModel(worker.address) for _ in range(3)]
        clients[0].post(SEEN)
        served.entered.acquire()
        for client in clients[1:]:
            client.post(SEEN)
        while (status := fetch_status(worker.address, 20.0)).models[0].queue_length < 2:
            threading.Event().wait(0.01)
        [model] = status.models
        assert (model.call, status.state, status.call) == ("predict", "busy", "predict")
        assert "self.go_on.acquire()" in model.stack
        assert "self.go_on.acquire()" in status.sessions[0].stack
        assert len(status.sessions) == 3
        served.go_on.release(2)
        for client in clients:
            client.take()
            client.close()
        assert fetch_status(worker.address, 20.0).models[0].queue_length == 0


def test_the_status_names_the_only_client_while_the_model_computes_for_it() -> None:
    served = Gated()
    with working(served) as worker, rlmesh.RemoteModel(worker.address) as client:
        client.post(SEEN)
        served.entered.acquire()
        status = fetch_status(worker.address, 20.0)
        served.go_on.release()
        client.take()
    assert (status.call, status.sequence, len(status.sessions)) == ("predict", 2, 1)
    assert status.holder is not None
    assert status.holder.pid == os.getpid()


def test_a_drain_lets_what_was_asked_finish_and_closes_the_model_once() -> None:
    class Closing(Gated):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    served = Closing()
    worker = rlmesh.ModelWorker(served)
    worker.start()
    clients = [rlmesh.RemoteModel(worker.address, reconnect=False) for _ in range(2)]
    clients[0].post(SEEN)
    served.entered.acquire()
    clients[1].post(SEEN)
    while fetch_status(worker.address, 20.0).models[0].queue_length < 1:
        threading.Event().wait(0.01)
    ending = threading.Thread(target=worker.shutdown)
    ending.start()
    while check_health_or_gone(worker.address) == SERVING:
        threading.Event().wait(0.01)
    served.go_on.release(4)
    for client in clients:
        assert_same(client.take(), act(SEEN["state"]))
    ending.join()
    assert served.closed == 1
    with pytest.raises((EndpointDrainingError, rlmesh.errors.EndpointError)):
        clients[0].predict(SEEN)
    for client in clients:
        client.close()


def check_health_or_gone(address: str) -> int:
    import grpc

    try:
        return check_health(address)
    except grpc.RpcError:
        return NOT_SERVING


def test_a_worker_in_a_process_ends_with_exit_code_0_at_sigterm(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import rlmesh\n"
        "from support.models import OfMany\n"
        "worker = rlmesh.ModelWorker(OfMany())\n"
        "print(worker.address, flush=True)\n"
        "worker.serve()\n"
        "print('closed', flush=True)\n"
    )
    with start_python([str(program)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with rlmesh.RemoteModel(address, connect_timeout_seconds=60) as model:
            assert model.transport == "shm"
            assert_same(model.predict(SEEN), act(SEEN["state"]))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert process.stdout.read() == "closed\n"


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"sessions": 0}, InvalidArgumentError, "sessions must be 1 or more"),
        ({"max_batch_size": 0}, InvalidArgumentError, "max_batch_size must be 1 or more"),
        ({"max_batch_size": 1.5}, ArgumentTypeError, "max_batch_size must be an int or None"),
        ({"queue_limit": True}, ArgumentTypeError, "queue_limit must be an int or None"),
        ({"batch_wait_seconds": -1}, InvalidArgumentError, "batch_wait_seconds"),
        ({"batch_wait_seconds": None}, ArgumentTypeError, "batch_wait_seconds"),
        ({"warmup": 1}, ArgumentTypeError, "warmup must be True or False"),
        ({"validation": "perhaps"}, InvalidArgumentError, "validation must be one of"),
        ({"options": 3}, ArgumentTypeError, r"options must be a rlmesh\.ServeOptions"),
        ({"address": "0.0.0.0:0"}, InvalidAddressError, "may ask the model"),
        ({"transports": ["pigeon"]}, InvalidArgumentError, "transports must be some of"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_at_construction(
    settings: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        rlmesh.ModelWorker(OfOne(), **settings)


def test_an_address_in_use_is_refused_and_the_model_left_to_its_maker() -> None:
    model = Cold()
    with working(OfOne()) as worker:
        with pytest.raises(AddressInUseError):
            rlmesh.ModelWorker(model, worker.address)
    assert model.closed == 0


def test_a_worker_is_started_once() -> None:
    with working(OfOne()) as worker:
        with pytest.raises(StateError, match="started once"):
            worker.start()
        assert repr(worker) == f"<ModelWorker UnknownModel-v1 at {worker.address}, serving>"
    assert repr(worker).endswith("closed>")


def test_a_full_worker_says_who_holds_its_sessions() -> None:
    with working(OfOne(), sessions=1) as worker, rlmesh.RemoteModel(worker.address):
        with pytest.raises(rlmesh.errors.EndpointBusyError, match="is held by") as caught:
            rlmesh.RemoteModel(worker.address)
        assert caught.value.capacity == 1


def test_a_token_keeps_strangers_out() -> None:
    with working(OfOne(), token="open-sesame-and-more") as worker:
        with pytest.raises(rlmesh.errors.AuthenticationError):
            rlmesh.RemoteModel(worker.address)
        with rlmesh.RemoteModel(worker.address, token="open-sesame-and-more") as model:
            model.predict(SEEN)


def test_the_environment_client_names_the_class_for_a_model_and_the_other_way_round() -> None:
    import gymnasium

    with working(OfOne()) as worker, rlmesh.EnvServer(gymnasium.make("CartPole-v1")) as server:
        for client in (rlmesh.RemoteEnv, rlmesh.RemoteVectorEnv):
            with pytest.raises(
                rlmesh.errors.WrongEndpointKindError, match=r"serves a model.*rlmesh\.RemoteModel"
            ):
                client(worker.address)
        with pytest.raises(
            rlmesh.errors.WrongEndpointKindError, match=r"serves an environment.*rlmesh\.RemoteEnv"
        ):
            rlmesh.RemoteModel(server.address)
        assert fetch_contract(worker.address, 20.0)[0] == worker.model_contract
        assert fetch_contract(server.address, 20.0)[0] == server.env_contract


def test_the_only_model_of_a_worker_is_called_on_the_thread_of_serve() -> None:
    served = OfMany()
    worker = rlmesh.ModelWorker(served)

    def ask() -> None:
        with rlmesh.RemoteModel(worker.address) as model:
            model.predict(SEEN)
        worker.shutdown()

    asking = threading.Thread(target=ask)
    asking.start()
    worker.serve()
    asking.join()
    assert served.threads == {threading.get_ident()}


def test_a_long_observation_crosses_whole() -> None:
    class Wide(Model):
        from gymnasium.spaces import Box

        observation_space = Box(0, 255, (1500, 1000, 3), np.uint8)
        action_space = Box(0, 255, (1,), np.uint8)

        def predict(self, observation: Any) -> Any:
            return observation[-1, -1, -1:]

    frame = np.zeros((1500, 1000, 3), np.uint8)
    frame[-1, -1, -1] = 9
    transports: list[Any] = ["shm", "direct", "grpc"]
    with working(Wide(), direct=0) as worker:
        for transport in transports:
            with rlmesh.RemoteModel(worker.address, transport=transport) as model:
                assert model.predict(frame) == [9]


class Versioned(OfOne):
    """Acts as its version says; closes once."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = np.float32(scale)
        self.closed = threading.Event()

    def predict(self, observation: Any) -> Any:
        return act(observation["state"]) * self.scale

    def close(self) -> None:
        assert not self.closed.is_set()
        self.closed.set()


def test_a_reload_leaves_episodes_their_version_and_closes_the_old_one_after_the_last() -> None:
    first, second = Versioned(1.0), Versioned(-1.0)
    with working(first) as worker:
        with rlmesh.RemoteModel(worker.address) as old, rlmesh.RemoteModel(worker.address) as new:
            assert (old.version, new.version) == (1, 1)
            old.reset()
            assert worker.reload(second) == 2
            new.reset()
            assert (old.version, new.version) == (1, 2)
            assert_same(old.predict(SEEN), act(SEEN["state"]))
            assert_same(new.predict(SEEN), -act(SEEN["state"]))
            assert not first.closed.is_set()
            old.reset()
            assert old.version == 2
            assert_same(old.predict(SEEN), -act(SEEN["state"]))
            with rlmesh.RemoteModel(worker.address) as third:
                assert third.version == 2
        assert first.closed.wait(20)
        assert not second.closed.is_set()
    assert second.closed.is_set()


def test_a_reload_under_load_fails_no_call_and_mixes_no_versions() -> None:
    stop = threading.Event()
    failures: list[Exception] = []
    episodes: list[int] = []

    def drive(address: str) -> None:
        try:
            with rlmesh.RemoteModel(address) as model:
                while not stop.is_set():
                    model.reset()
                    signs = {float(np.sign(model.predict(SEEN)[0])) for _ in range(5)}
                    assert len(signs) == 1
                    episodes.append(model.version)
        except Exception as error:  # noqa: BLE001 - the test reports it
            failures.append(error)

    with working(Versioned(1.0)) as worker:
        threads = [threading.Thread(target=drive, args=(worker.address,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(2, 8):
            assert worker.reload(Versioned(-1.0 if number % 2 else 1.0)) == number
            seen = len(episodes)
            while len(episodes) < seen + 3 and not failures:
                threading.Event().wait(0.005)
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert max(episodes) == 7


class Wider(OfOne):
    horizon = 1
    keeps_state = True


@pytest.mark.parametrize(
    ("other", "error", "text"),
    [
        (Wider(), rlmesh.errors.ContractMismatchError, "keeps_state was False, is True"),
        (Cold(), RuntimeError, "no weights"),
        (object(), rlmesh.errors.InvalidModelError, "without any"),
    ],
)
def test_a_reload_that_fails_leaves_the_old_model_serving(
    other: Any, error: type[Exception], text: str
) -> None:
    with working(OfOne()) as worker, rlmesh.RemoteModel(worker.address) as model:
        with pytest.raises(error, match=text):
            worker.reload(other)
        with pytest.raises(InvalidArgumentError, match="serves the models UnknownModel-v1"):
            worker.reload(OfOne(), "other")
        model.reset()
        assert model.version == 1
        assert_same(model.predict(SEEN), act(SEEN["state"]))
    with pytest.raises(StateError, match="reload: the worker is closed"):
        worker.reload(OfOne())
