"""The client of openpi, as it is published, at a worker. `make openpi` runs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip(
    "openpi_client", reason="openpi-client needs NumPy 1; make openpi installs it beside"
)

from openpi_client import action_chunk_broker, image_tools, msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from websockets.sync.server import ServerConnection

import rlmesh
from rlmesh import errors
from rlmesh.openpi import Policy
from support.comparing import assert_same
from support.models import Recurrent, act, observation, working
from support.openpi_peers import served

# Its way to connect; websockets would have a context instead.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:connect\(\) must be used as a context manager:DeprecationWarning"
)

TOKEN = "a-token-of-tests"
spaces = rlmesh.spaces
OBSERVATIONS = spaces.Dict(
    {
        "observation/image": spaces.Box(0, 255, (224, 224, 3), np.uint8),
        "observation/state": spaces.Box(-10, 10, (8,), np.float32),
        "prompt": spaces.Text(64),
    }
)


class Vla:
    """Has the form of a policy of openpi: an image, a state and a prompt to a chunk of 16."""

    observation_space = OBSERVATIONS
    action_space = spaces.Box(-np.inf, np.inf, (7,), np.float32)
    horizon = 16
    metadata = {"reset_pose": [0.0, -1.5]}  # noqa: RUF012 - as Gymnasium has it

    def predict_chunk(self, observation: Any) -> Any:
        if observation["prompt"] == "fail":
            raise KeyError("no such skill")
        mean = observation["observation/image"].mean(dtype=np.float64)
        first = observation["observation/state"][:7] * np.float32(mean)
        return first + np.arange(16, dtype=np.float32)[:, None] / 3


def seen(seed: int = 0, prompt: str = "pick up the fork") -> dict[str, Any]:
    """What a robot's program sends."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (480, 640, 3), np.uint8)
    return {
        "observation/image": image_tools.resize_with_pad(frame, 224, 224),
        "observation/state": rng.normal(size=8).astype(np.float32),
        "prompt": prompt,
    }


@pytest.fixture(name="worker")
def _worker() -> Iterator[rlmesh.ModelWorker]:
    with working(Vla(), openpi=0) as worker:
        yield worker


def client(worker: rlmesh.ModelWorker, **options: Any) -> WebsocketClientPolicy:
    url = str(worker.openpi_address)
    host, port = url.removeprefix("ws://").split(":")
    return WebsocketClientPolicy(host, int(port), **options)


def test_an_unmodified_client_gets_the_bits_that_a_remote_model_gets(
    worker: rlmesh.ModelWorker,
) -> None:
    theirs = client(worker)
    with rlmesh.RemoteModel(worker.address) as ours:
        for seed in range(3):
            answer = theirs.infer(seen(seed))
            assert answer["actions"].shape == (16, 7)
            assert_same(answer["actions"], ours.predict_chunk(seen(seed)))
            assert answer["server_timing"]["infer_ms"] > 0
    assert theirs.get_server_metadata()["reset_pose"] == [0.0, -1.5]


def test_its_broker_executes_a_chunk_action_by_action(worker: rlmesh.ModelWorker) -> None:
    broker = action_chunk_broker.ActionChunkBroker(client(worker), action_horizon=8)
    with rlmesh.RemoteModel(worker.address) as ours, rlmesh.Chunks(ours, execute=8) as chunks:
        for step in range(20):
            # It slices what is an array in an answer.
            assert_same(broker.infer(seen(step))["actions"], chunks.act(seen(step)))


def test_an_error_is_its_error_and_it_goes_on(worker: rlmesh.ModelWorker) -> None:
    theirs = client(worker)
    with pytest.raises(RuntimeError, match=r"server:\nRemoteModelError: .*skill"):
        theirs.infer(seen(prompt="fail"))
    with pytest.raises(RuntimeError, match=r"InvalidObservationError: .*\$: expected a dict"):
        theirs.infer({"state": np.zeros(3)})
    assert theirs.infer(seen())["actions"].shape == (16, 7)


def test_its_api_key_is_the_workers_token() -> None:
    with working(Vla(), openpi=0, token=TOKEN) as worker:
        assert "actions" in client(worker, api_key=TOKEN).infer(seen())
        for options in ({}, {"api_key": "another"}):
            with pytest.raises(Exception, match="401"):
                client(worker, **options)


def test_two_clients_at_once_do_not_disturb_each_other() -> None:
    """The noise of a session is its own; what they have in common is the state."""
    with working(Recurrent(), openpi=0) as worker:
        answers: dict[int, list[Any]] = {0: [], 1: []}

        def drive(number: int) -> None:
            theirs = client(worker)
            for seed in range(20):
                answers[number].append(theirs.infer(observation(seed + 100 * number))["actions"])

        threads = [threading.Thread(target=drive, args=(number,)) for number in answers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    for number, got in answers.items():
        state = np.zeros(3, np.float32)
        for seed in range(20):
            state = 0.5 * state + 0.25 * observation(seed + 100 * number)["state"]
            assert np.abs(got[seed][0] - act(state)).max() <= 0.25


def openpi_server(connection: ServerConnection) -> None:
    """What openpi's own WebsocketPolicyServer does, with its own packing."""
    packer = msgpack_numpy.Packer()
    connection.send(packer.pack({"reset_pose": [0.0, -1.5]}))
    previous: float | None = None
    for message in connection:
        try:
            action = {"actions": Vla().predict_chunk(msgpack_numpy.unpackb(message))}
        except Exception as error:
            connection.send(f"Traceback (most recent call last):\n{error!r}")
            connection.close(1011, "Internal server error. Traceback included in previous frame.")
            raise
        action["server_timing"] = {"infer_ms": 1.0}
        if previous is not None:
            action["server_timing"]["prev_total_ms"] = previous
        previous = 2.0
        connection.send(packer.pack(action))


def test_a_policy_drives_a_server_of_openpi_as_its_own_client_does() -> None:
    model = Vla()
    given: dict[str, Any] = {"observation_space": OBSERVATIONS, "action_space": model.action_space}
    with served(openpi_server) as url, Policy(url, horizon=16, **given) as ours:
        theirs = WebsocketClientPolicy(url)
        for seed in range(3):
            assert_same(ours.predict_chunk(seen(seed)), theirs.infer(seen(seed))["actions"])
        with pytest.raises(errors.RemoteModelError, match="no such skill"):
            ours.predict_chunk(seen(prompt="fail"))
        assert_same(ours.predict_chunk(seen()), model.predict_chunk(seen()))
        assert ours.metadata == theirs.get_server_metadata()
        # And it is a model that a worker serves: to RLMesh's clients, and on to openpi's.
        with working(ours, openpi=0) as worker, rlmesh.RemoteModel(worker.address) as remote:
            assert_same(remote.predict_chunk(seen()), model.predict_chunk(seen()))
            assert_same(client(worker).infer(seen())["actions"], model.predict_chunk(seen()))
