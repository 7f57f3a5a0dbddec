"""Clients of openpi at a worker: answered as others are, and trusted no more."""

from __future__ import annotations

import contextlib
import http.client
import pickle
import socket
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("websockets", reason="openpi needs websockets, which is optional")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import rlmesh
from rlmesh.client.probing import fetch_status
from rlmesh.errors import AddressInUseError, ArgumentTypeError, InvalidAddressError
from rlmesh.openpi import Policy
from support.certificates import make_certificates
from support.comparing import assert_same
from support.models import (
    HORIZON,
    Gated,
    Model,
    OfChunk,
    OfMany,
    OfOne,
    Recurrent,
    act,
    chunk_of,
    observation,
    working,
)
from support.openpi_peers import asked, dialed, packed, unpacked

SEEN = observation(1)
EXPECTED = chunk_of(act(SEEN["state"]))
TOKEN = "a-token-of-tests"


def url_of(worker: rlmesh.ModelWorker) -> str:
    assert worker.openpi_address is not None
    return worker.openpi_address


def health(worker: rlmesh.ModelWorker) -> int:
    address = url_of(worker).rpartition("/")[2]
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


def refusal(url: str, **options: Any) -> tuple[int, str]:
    """With which status a server refuses a connection, and what it says."""
    with pytest.raises(InvalidStatus) as caught:
        connect(url, proxy=None, **options)
    response = caught.value.response
    return response.status_code, (response.body or b"").decode()


def test_an_answer_is_the_chunk_that_other_clients_get() -> None:
    with working(OfChunk(), openpi=0) as worker, dialed(url_of(worker)) as connection:
        first, second = asked(connection, SEEN), asked(connection, SEEN)
        with rlmesh.RemoteModel(worker.address) as model:
            assert_same(first["actions"], model.predict_chunk(SEEN))
    assert_same(second["actions"], EXPECTED)
    assert set(first) == {"actions", "server_timing"}
    assert set(first["server_timing"]) == {"infer_ms"}
    assert set(second["server_timing"]) == {"infer_ms", "prev_total_ms"}


def test_a_value_of_any_space_has_its_place_in_a_message() -> None:
    spaces = rlmesh.spaces

    class Talking(Model):
        observation_space = spaces.Dict({"prompt": spaces.Text(20), "n": spaces.Discrete(5)})
        action_space = spaces.Dict({"arm": spaces.Box(-1, 1, (2,)), "say": spaces.Text(20)})

        def predict(self, observation: Any) -> Any:
            return {"arm": np.full(2, observation["n"] / 8), "say": observation["prompt"].upper()}

    with working(Talking(), openpi=0) as worker, dialed(url_of(worker)) as connection:
        answer = asked(connection, {"prompt": "pick", "n": np.int64(4)})
        assert_same(answer["arm"], np.full((1, 2), 0.5, np.float32))
        assert answer["say"] == ["PICK"]
    box: dict[str, Any] = {
        "observation_space": spaces.Box(-1, 1, (3,)),
        "action_space": spaces.Discrete(7),
    }
    with working(lambda _: 5, openpi=0, **box) as worker, dialed(url_of(worker)) as connection:
        assert_same(asked(connection, {"observation": [0.0, 0.5, 1]})["actions"], np.array([5]))


def test_metadata_has_the_models_own_and_its_contract() -> None:
    class Described(OfChunk):
        metadata = {"trained on": "bridge", "pose": [1, 2.5]}  # noqa: RUF012 - as Gymnasium has it

    with working(Described(), openpi=0) as worker, connect(url_of(worker), proxy=None) as raw:
        metadata = unpacked(raw.recv(10))
    own = metadata.pop("rlmesh")
    assert metadata == Described.metadata
    assert own["horizon"] == HORIZON


def array(data: Any, dtype: Any, shape: Any) -> dict[bytes, Any]:
    return {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}


STATE = SEEN["state"]
REFUSED: dict[str, tuple[Any, str]] = {
    "a missing key": ({"state": STATE}, r"\$: expected a dict with the keys 'image', 'state'"),
    "one key more": ({**SEEN, "x": 1}, r"\$: expected a dict with the keys 'image', 'state'"),
    "another shape": ({**SEEN, "state": np.zeros(4)}, r"\$\.state: .*\(3,\)"),
    "NaN": ({**SEEN, "state": np.full(3, np.nan)}, r"\$\.state: nan"),
    "text for numbers": ({**SEEN, "state": "abc"}, r"\$\.state: "),
    "no dict": ([1, 2], r"\$: expected a dict"),
    "objects": ({**SEEN, "state": array(b"12345678", "|O", [1])}, r"dtype '\|O' is not allowed"),
    "a pickle": (pickle.dumps(SEEN), "are no message|expected a dict"),
    "half a message": (packed(SEEN)[:40], "are no message"),
    "nothing": (b"", "are no message"),
    "a text": ("hello", "a text is no observation"),
}


def test_what_is_no_observation_is_refused_by_name_and_the_connection_goes_on() -> None:
    model = OfChunk()
    with working(model, openpi=0) as worker, dialed(url_of(worker)) as connection:
        for given, said in REFUSED.values():
            answer = asked(connection, given)
            assert isinstance(answer, str), given
            assert answer.startswith("InvalidObservationError: the observation was refused: ")
            with pytest.raises(AssertionError, match=said):
                raise AssertionError(answer)
            assert answer.endswith("The model was not called")
        assert model.sizes == []
        assert_same(asked(connection, SEEN)["actions"], EXPECTED)


def test_a_message_that_no_observation_could_fill_ends_its_connection_alone() -> None:
    with working(OfChunk(), openpi=0) as worker, dialed(url_of(worker)) as bystander:
        with dialed(url_of(worker)) as connection, pytest.raises(ConnectionClosed) as caught:
            asked(connection, bytes(4 << 20))
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
        assert_same(asked(bystander, SEEN)["actions"], EXPECTED)


def test_what_the_model_raises_is_said_and_the_connection_goes_on() -> None:
    class Picky(OfOne):
        def predict(self, observation: Any) -> Any:
            if observation["state"][0] > 0.9:
                raise KeyError("no such skill")
            if observation["state"][0] < -0.9:
                return np.full(2, np.nan, np.float32)
            return super().predict(observation)

    with working(Picky(), openpi=0) as worker, dialed(url_of(worker)) as connection:
        raised = asked(connection, {**SEEN, "state": np.ones(3, np.float32)})
        assert raised.startswith("RemoteModelError: ")
        assert "KeyError: 'no such skill'" in raised
        assert "in predict" in raised
        refused = asked(connection, {**SEEN, "state": np.full(3, -1, np.float32)})
        assert refused.startswith("InvalidActionError: the model's answer was refused: $")
        assert_same(asked(connection, SEEN)["actions"], EXPECTED[:1])


def test_an_action_out_of_bounds_is_delivered_with_a_notice_or_refused() -> None:
    class Wild(OfOne):
        def predict(self, observation: Any) -> Any:
            return np.full(2, 3, np.float32)

    with working(Wild(), openpi=0) as worker, dialed(url_of(worker)) as connection:
        [notice] = asked(connection, SEEN)["rlmesh.conformance.warning"]
        assert (notice["kind"], notice["path"]) == ("bounds", "$")
    strict = working(Wild(), openpi=0, validation="strict")
    with strict as worker, dialed(url_of(worker)) as connection:
        assert asked(connection, SEEN).startswith("InvalidActionError: ")


def test_each_connection_has_its_own_state_and_begins_an_episode() -> None:
    with working(Recurrent(), openpi=0) as worker:
        ours = rlmesh.RemoteModel(worker.address)
        with ours, dialed(url_of(worker)) as one, dialed(url_of(worker)) as other:
            states: list[Any] = []
            for connection in (one, other):
                asked(connection, SEEN)
                states.append(asked(connection, SEEN)["actions"])
            ours.predict(SEEN)
        with dialed(url_of(worker)) as again:
            asked(again, SEEN)
            states.append(asked(again, SEEN)["actions"])
    # What they have in common is the state; the noise of each is its own.
    expected = act(0.375 * SEEN["state"])
    assert all(np.abs(state - expected).max() <= 0.25 for state in states)
    assert len({state.tobytes() for state in states}) == 3


@contextlib.contextmanager
def gated(**settings: Any) -> Generator[tuple[Gated, rlmesh.ModelWorker]]:
    """A worker whose model waits in each call, until the test lets it go on or has failed."""
    model = Gated()
    worker = rlmesh.ModelWorker(model, openpi=0, **settings)
    try:
        worker.start()
        yield model, worker
    finally:
        model.go_on.release(100)
        worker.shutdown()


def until_queued(worker: rlmesh.ModelWorker, length: int) -> None:
    while fetch_status(worker.address, 20.0).models[0].queue_length < length:
        threading.Event().wait(0.01)


def test_requests_of_both_kinds_of_clients_are_computed_together() -> None:
    with (
        gated() as (model, worker),
        dialed(url_of(worker)) as connection,
        rlmesh.RemoteModel(worker.address) as first,
        rlmesh.RemoteModel(worker.address) as second,
        ThreadPoolExecutor() as pool,
    ):
        first.post(SEEN)
        assert model.entered.acquire(timeout=30)
        connection.send(packed(SEEN))
        chunk = pool.submit(second.predict_chunk, SEEN)
        until_queued(worker, 2)
        model.go_on.release(2)
        first.take()
        assert_same(unpacked(connection.recv(30))["actions"], chunk.result(30))
    assert model.sizes == [1, 2]


def test_a_status_names_the_client_and_a_place_is_free_once_it_has_left() -> None:
    with working(OfOne(), openpi=0, sessions=1) as worker:
        url = url_of(worker)
        with dialed(url) as connection:
            asked(connection, SEEN)
            [session] = fetch_status(worker.address, 20.0).sessions
            assert session.transport == "openpi"
            status, said = refusal(url)
            assert status == 503
            assert "serves one client at a time" in said
        with rlmesh.RemoteModel(worker.address, busy_timeout_seconds=30) as model:
            assert_same(model.predict(SEEN), act(STATE))


def test_models_are_named_in_the_path() -> None:
    with working({"a": OfOne(), "b c": OfChunk()}, openpi=0) as worker:
        url = url_of(worker)
        with dialed(f"{url}/b%20c") as connection:
            assert_same(asked(connection, SEEN)["actions"], EXPECTED)
        for path in ("", "/", "/x"):
            status, said = refusal(url + path)
            assert status == 404
            assert "a, b c" in said


def test_without_the_token_nothing_is_answered_but_health() -> None:
    with working(OfChunk(), openpi=0, token=TOKEN) as worker:
        url = url_of(worker)
        assert health(worker) == 200
        for shown in (None, "Api-Key wrong", f"Basic {TOKEN}", f"{TOKEN}", f"Api-Key  x{TOKEN}"):
            headers = {} if shown is None else {"Authorization": shown}
            status, said = refusal(url, additional_headers=headers)
            assert (status, said) == (401, "this server answers those who show its token\n")
            # Nor what is served.
            assert refusal(f"{url}/x", additional_headers=headers)[0] == 401
        for shown in (f"Api-Key {TOKEN}", f"Bearer {TOKEN}", f"api-key {TOKEN}"):
            with dialed(url, additional_headers={"Authorization": shown}) as connection:
                assert_same(asked(connection, SEEN)["actions"], EXPECTED)


def test_with_tls_the_websocket_is_encrypted_by_the_current_certificate(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    with working(OfChunk(), openpi=0, tls=certificates.server()) as worker:
        url = url_of(worker)
        assert url.startswith("wss://")
        with Policy(url, tls=certificates.client(server_name="localhost")) as policy:
            assert_same(policy.predict_chunk(SEEN), EXPECTED)
        with pytest.raises(rlmesh.errors.TlsError, match="no trusted connection"):
            Policy(url)
        with pytest.raises(rlmesh.errors.EndpointError):
            Policy(url.replace("wss", "ws"))
        certificates.issue("server", "elsewhere.test")
        with pytest.raises(rlmesh.errors.TlsError):
            Policy(url, tls=certificates.client(server_name="localhost"))
        with Policy(url, tls=certificates.client(server_name="elsewhere.test")) as policy:
            assert_same(policy.predict_chunk(SEEN), EXPECTED)


def test_a_page_in_a_browser_cannot_ask() -> None:
    with working(OfChunk(), openpi=0) as worker:
        status, _ = refusal(url_of(worker), origin="https://example.org")
        assert status == 403
        with dialed(url_of(worker)) as connection:
            assert_same(asked(connection, SEEN)["actions"], EXPECTED)


def test_an_address_is_checked_as_every_other() -> None:
    with pytest.raises(InvalidAddressError, match=r"0\.0\.0\.0:0 is reachable.*token="):
        rlmesh.ModelWorker(OfOne(), openpi="tcp://0.0.0.0:0")
    with pytest.raises(InvalidAddressError, match="openpi must be a TCP address"):
        rlmesh.ModelWorker(OfOne(), openpi="unix:///tmp/x.sock")
    with pytest.raises(ArgumentTypeError):
        rlmesh.ModelWorker(OfOne(), openpi=1.5)  # type: ignore[arg-type] # what users pass
    with working(OfOne(), openpi=0) as worker:
        port = int(url_of(worker).rpartition(":")[2])
        with pytest.raises(AddressInUseError, match="in use"):
            rlmesh.ModelWorker(OfOne(), openpi=port)
        assert rlmesh.ModelWorker(OfOne(), insecure=True).openpi_address is None


def test_silent_and_senseless_peers_delay_nobody() -> None:
    with working(OfChunk(), openpi=0) as worker:
        host, port = url_of(worker).removeprefix("ws://").rsplit(":", 1)
        peers = [socket.create_connection((host, int(port))) for _ in range(8)]
        try:
            for peer in peers[::2]:
                peer.sendall(b"\x16\x03\x01\x00\x05nonsense\r\n\r\n")
            with dialed(url_of(worker)) as connection:
                assert_same(asked(connection, SEEN)["actions"], EXPECTED)
        finally:
            for peer in peers:
                peer.close()


def test_health_says_when_the_model_is_warm() -> None:
    begun, warm = threading.Event(), threading.Event()

    class Slow(OfOne):
        def warmup(self) -> None:
            begun.set()
            assert warm.wait(30)

    worker = rlmesh.ModelWorker(Slow(), openpi=0)
    starting = threading.Thread(target=worker.start)
    starting.start()
    try:
        assert begun.wait(30)
        assert health(worker) == 503
        warm.set()
        starting.join(30)
        assert health(worker) == 200
    finally:
        warm.set()
        worker.shutdown()


def goodbye(connection: Any) -> int:
    """With which code a server closes a connection."""
    with pytest.raises(ConnectionClosed) as caught:
        connection.recv(30)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


def test_a_shutdown_answers_the_call_in_flight_and_says_goodbye() -> None:
    with (
        gated() as (model, worker),
        dialed(url_of(worker)) as connection,
        dialed(url_of(worker)) as idle,
    ):
        connection.send(packed(SEEN))
        assert model.entered.acquire(timeout=30)
        ending = threading.Thread(target=worker.shutdown)
        ending.start()
        assert goodbye(idle) == 1001
        model.go_on.release()
        assert "actions" in unpacked(connection.recv(30))
        assert goodbye(connection) == 1001
        ending.join(30)
        assert not ending.is_alive()


def test_a_call_that_takes_too_long_is_answered_and_the_next_one_counts() -> None:
    options = rlmesh.ServeOptions(call_timeout_seconds=0.2)
    with gated(options=options) as (model, worker), dialed(url_of(worker)) as connection:
        late = asked(connection, SEEN)
        assert late.startswith("CallTimeoutError: ")
        model.go_on.release(2)
        answer = asked(connection, {**SEEN, "state": np.zeros(3, np.float32)})
        assert_same(answer["actions"], np.zeros((1, 2), np.float32))


def test_a_full_queue_is_said() -> None:
    with (
        gated(queue_limit=1) as (model, worker),
        dialed(url_of(worker)) as connection,
        rlmesh.RemoteModel(worker.address) as first,
        rlmesh.RemoteModel(worker.address) as second,
    ):
        first.post(SEEN)
        assert model.entered.acquire(timeout=30)
        second.post(SEEN)
        until_queued(worker, 1)
        assert asked(connection, SEEN).startswith("EndpointBusyError: ")
        model.go_on.release(3)
        first.take()
        second.take()
        assert "actions" in asked(connection, SEEN)


def test_a_worker_without_websockets_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rlmesh.server.openpi.gateway", None)
    with pytest.raises(rlmesh.errors.StateError, match=r"pip install 'rlmesh\[openpi\]'"):
        rlmesh.ModelWorker(OfMany(), openpi=0)
