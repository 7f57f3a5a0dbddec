"""A server of openpi's protocol, asked as a model: whatever it answers, and whenever."""

from __future__ import annotations

import copy
import http
import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("websockets", reason="openpi needs websockets, which is optional")

from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

import rlmesh
from rlmesh import errors
from rlmesh.client.probing import fetch_status
from rlmesh.openpi import Policy
from support.comparing import assert_same
from support.models import (
    ACTIONS,
    HORIZON,
    OBSERVATIONS,
    OfChunk,
    OfOne,
    Recurrent,
    act,
    chunk_of,
    observation,
    working,
)
from support.openpi_peers import answering, packed, served, unpacked

SEEN = observation(1)
EXPECTED = chunk_of(act(SEEN["state"]))
SPACES: dict[str, Any] = {"observation_space": OBSERVATIONS, "action_space": ACTIONS}


def chunk(entries: Any) -> Any:
    """What the servers here answer: in float64, with more than was asked for."""
    actions = chunk_of(act(entries["state"])).astype(np.float64)
    return {"actions": actions, "server_timing": {"infer_ms": 0.1}}


def test_a_server_that_says_nothing_of_itself_is_asked_by_the_spaces_that_are_given() -> None:
    seen: list[Any] = []

    def answer(entries: Any) -> Any:
        seen.append(entries)
        return chunk(entries)

    with (
        served(answering(answer, {"name": "pi0"})) as url,
        Policy(url, **SPACES, horizon=HORIZON) as policy,
    ):
        given = {"state": list(SEEN["state"].astype(float)), "image": SEEN["image"]}
        assert_same(policy.predict_chunk(given), EXPECTED)
        assert_same(policy.predict(SEEN), EXPECTED[0])
        assert policy.metadata == {"name": "pi0"}
        assert (policy.id, policy.horizon, policy.keeps_state) == ("openpi", HORIZON, False)
    assert_same(seen, [SEEN, SEEN])


def test_without_spaces_a_dict_is_sent_as_it_is_and_the_actions_are_returned_as_they_are() -> None:
    given = {"prompt": "pick", "state": SEEN["state"], "deep": {"n": 3, "list": [1, 2.5]}}
    with served(answering(lambda entries: {**chunk(entries), "seen": entries})) as url:
        with Policy(url) as policy:
            assert (policy.observation_space, policy.action_space, policy.horizon) == (None,) * 3
            assert_same(policy.predict_chunk(given), EXPECTED.astype(np.float64))
            assert_same(policy.predict(given), EXPECTED[0].astype(np.float64))
            answer = policy.infer(given)
            assert_same(answer["seen"], given)
            answer["actions"][0] = 7
            with pytest.raises(errors.InvalidObservationError, match="is a dict, got ndarray"):
                policy.predict(SEEN["state"])
    with served(answering(lambda _: {"action": [1]})) as url, Policy(url) as policy:
        with pytest.raises(errors.InvalidActionError, match=r"no 'actions'; it has 'action'"):
            policy.predict_chunk({})


def test_a_server_of_rlmesh_says_its_spaces_and_answers_as_it_does_its_own_clients() -> None:
    with working(OfChunk(), openpi=0) as worker, rlmesh.RemoteModel(worker.address) as model:
        with Policy(str(worker.openpi_address)) as policy:
            contract = model.model_contract
            assert policy.observation_space == contract.observation_space
            assert policy.action_space == contract.action_space
            assert (policy.horizon, policy.id) == (HORIZON, contract.id)
            assert policy.metadata == {}
            assert_same(policy.predict_chunk(SEEN), model.predict_chunk(SEEN))
            assert_same(policy.predict(SEEN), model.predict(SEEN))
    with working(Recurrent(), openpi=0) as worker, Policy(str(worker.openpi_address)) as policy:
        assert policy.keeps_state


def test_a_dict_of_actions_has_its_keys_in_the_answer_and_a_value_alone_its_own() -> None:
    spaces = rlmesh.spaces
    acting = spaces.Dict({"arm": spaces.Box(-1, 1, (2,)), "say": spaces.Text(9)})
    arm = np.full((3, 2), 0.5)

    def answer(entries: Any) -> Any:
        assert set(entries) == {"observation"}
        return {"say": ["a", "b", "c"], "arm": arm, "server_timing": {}}

    with served(answering(answer)) as url:
        alone: dict[str, Any] = {
            "observation_space": spaces.Box(-1, 1, (2,)),
            "action_space": acting,
        }
        with Policy(url, **alone) as policy:
            found = policy.predict_chunk(np.zeros(2))
            assert_same(found, {"arm": arm.astype(np.float32), "say": ("a", "b", "c")})
            assert_same(policy.predict(np.zeros(2)), {"arm": found["arm"][0], "say": "a"})


# What a server answers, how it is refused, and whether the connection goes on after it.
ANSWERS: dict[str, tuple[Any, type[Exception], str]] = {
    "no actions": ({"action": EXPECTED}, errors.InvalidActionError, "key 'actions', got 'action'"),
    "fewer actions": ({"actions": EXPECTED[:3]}, errors.InvalidActionError, r"\$.*\(4, 2\)"),
    "wider actions": ({"actions": np.zeros((4, 3))}, errors.InvalidActionError, r"\$.*\(4, 2\)"),
    "NaN": ({"actions": EXPECTED * np.nan}, errors.InvalidActionError, r"\$: nan"),
    "texts": ({"actions": ["a"] * 4}, errors.InvalidActionError, r"\$: "),
    "no dict": ([1], errors.ProtocolError, "is a dict, and .* sent a value of type list"),
    "a pickle": (pickle.dumps(SEEN), errors.ProtocolError, "cannot be read: .* no message"),
    "objects": (
        {"actions": {b"__ndarray__": True, b"data": b"", b"dtype": "|O", b"shape": [0]}},
        errors.ProtocolError,
        r"cannot be read: the dtype '\|O' is not allowed",
    ),
}


def test_an_answer_that_is_no_chunk_is_refused_by_its_place_and_the_policy_goes_on() -> None:
    answers = [given for given, _, _ in ANSWERS.values()]
    with (
        served(answering(lambda entries: answers.pop(0) if answers else chunk(entries))) as url,
        Policy(url, **SPACES, horizon=HORIZON) as policy,
    ):
        for _, kind, said in ANSWERS.values():
            with pytest.raises(kind, match=said):
                policy.predict_chunk(SEEN)
        assert_same(policy.predict_chunk(SEEN), EXPECTED)


def test_an_observation_that_is_none_is_refused_by_its_place_and_not_sent() -> None:
    asked: list[Any] = []

    def answer(entries: Any) -> Any:
        asked.append(entries)
        return chunk(entries)

    with (
        served(answering(answer)) as url,
        Policy(url, **SPACES) as policy,
    ):
        for given, said in (
            ({**SEEN, "state": np.zeros(4)}, r"\$\.state: .*\(3,\)"),
            ({"image": SEEN["image"]}, r"\$: expected a dict with the keys"),
            (SEEN["state"], r"\$: expected a dict"),
        ):
            with pytest.raises(errors.InvalidObservationError, match=said) as caught:
                policy.predict_chunk(given)
            assert "The model was not called" in str(caught.value)
        with pytest.raises(errors.InvalidObservationError, match="has no form in this protocol"):
            policy.infer({"state": object()})
        assert not asked
        assert_same(policy.predict_chunk(SEEN), EXPECTED)


def test_what_the_policy_raises_is_raised_and_the_next_call_connects_again() -> None:
    def answer(entries: Any) -> Any:
        if entries["state"][0] == 1:
            raise KeyError("no such skill")
        return chunk(entries)

    with served(answering(answer)) as url, Policy(url, **SPACES) as policy:
        with pytest.raises(errors.RemoteModelError, match="KeyError: 'no such skill'") as caught:
            policy.predict_chunk({**SEEN, "state": np.ones(3, np.float32)})
        assert caught.value.exception_type == "KeyError"
        assert "Traceback" in caught.value.remote_traceback
        assert_same(policy.predict_chunk(SEEN), EXPECTED)


def test_what_a_worker_refuses_has_its_own_type_and_the_episode_goes_on() -> None:
    class Failing(Recurrent):
        def predict(self, observation: Any, context: rlmesh.ModelContext) -> Any:
            if observation["state"][0] == 1:
                raise ValueError("too far")
            return super().predict(observation, context)

    model = Failing()
    with working(model, openpi=0) as worker, Policy(str(worker.openpi_address)) as policy:
        policy.predict(SEEN)
        with pytest.raises(errors.InvalidObservationError, match=r"\$\.state: .*\(3,\)"):
            policy.infer({**SEEN, "state": np.zeros(4)})
        with pytest.raises(errors.RemoteModelError, match="ValueError: too far"):
            policy.predict({**SEEN, "state": np.ones(3, np.float32)})
        policy.predict(SEEN)
        assert model.resets == 1
        policy.reset()
        policy.predict(SEEN)
        assert model.resets == 2


class Held:
    """A server that answers the first call when the test says so, and the others at once."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.calls = 0

    def __call__(self, entries: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            assert self.go_on.wait(30)
            return {"actions": np.full((HORIZON, 2), 0.5)}
        return chunk(entries)


def test_an_answer_that_comes_too_late_is_no_answer_to_the_next_call() -> None:
    held = Held()
    with (
        served(answering(held)) as url,
        Policy(url, **SPACES, request_timeout_seconds=0.1) as policy,
    ):
        with pytest.raises(errors.CallTimeoutError, match=r"within 0\.1 s; the next call connects"):
            policy.predict_chunk(SEEN)
        held.go_on.set()
        assert_same(policy.predict_chunk(SEEN), EXPECTED)


def test_a_connection_that_breaks_is_an_error_once() -> None:
    def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        connection.send(packed({}))
        for message in connection:
            if len(connections) == 1:
                connection.socket.shutdown(socket.SHUT_RDWR)
                return
            connection.send(packed(chunk(unpacked(message))))

    connections: list[ServerConnection] = []
    with served(handle) as url, Policy(url, **SPACES) as policy:
        with pytest.raises(errors.ConnectionLostError, match="the next call connects again"):
            policy.predict_chunk(SEEN)
        assert_same(policy.predict_chunk(SEEN), EXPECTED)


def refusing(status: http.HTTPStatus) -> Callable[[ServerConnection, Request], Response]:
    return lambda connection, _: connection.respond(status, "not\nyou\n")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (http.HTTPStatus.UNAUTHORIZED, errors.AuthenticationError),
        (http.HTTPStatus.FORBIDDEN, errors.AuthenticationError),
        (http.HTTPStatus.NOT_FOUND, errors.InvalidArgumentError),
        (http.HTTPStatus.SERVICE_UNAVAILABLE, errors.EndpointBusyError),
        (http.HTTPStatus.OK, errors.ProtocolError),
    ],
)
def test_a_server_that_refuses_is_an_error_with_what_it_says(
    status: http.HTTPStatus, kind: type[Exception]
) -> None:
    with served(answering(chunk), process_request=refusing(status)) as url:
        with pytest.raises(kind, match=rf"status {status.value}: not\\nyou"):
            Policy(url)


def wait_for_a_message(connection: ServerConnection) -> None:
    connection.recv()


def test_what_is_no_server_of_openpi_is_an_error_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(errors.EndpointUnreachableError, match=r"no answer .* within 0\.1 s"):
            Policy(f"127.0.0.1:{port}", connect_timeout_seconds=0.1)
    with pytest.raises(errors.EndpointUnreachableError, match="nothing answers at"):
        Policy(f"127.0.0.1:{port}")
    with served(wait_for_a_message) as url:
        with pytest.raises(errors.EndpointUnreachableError, match="sent no metadata within"):
            Policy(url, connect_timeout_seconds=0.1)
    with served(lambda connection: connection.send(b"\xc1")) as url:
        with pytest.raises(errors.ProtocolError, match="cannot be read"):
            Policy(url)
    with rlmesh.ModelWorker(OfOne()) as worker:
        with pytest.raises(errors.EndpointError):
            Policy(worker.address.removeprefix("tcp://"))


def test_a_contract_that_is_none_is_refused_and_the_connection_ends() -> None:
    ended = threading.Event()

    def handle(connection: ServerConnection) -> None:
        connection.send(packed({"rlmesh": {"contract": b"\xff"}}))
        for _ in connection:
            pass
        ended.set()

    with served(handle) as url:
        with pytest.raises(errors.ProtocolError, match=r"the contract of .* cannot be read"):
            Policy(url)
        assert ended.wait(30)


def test_a_token_is_shown_as_openpi_shows_a_key_and_crosses_no_network_in_plaintext() -> None:
    shown: list[str | None] = []

    def note(connection: ServerConnection, request: Request) -> None:
        shown.append(request.headers.get("Authorization"))

    with served(answering(chunk), process_request=note) as url:
        Policy(url, token="secret-of-tests").close()
        Policy(url).close()
    assert shown == ["Api-Key secret-of-tests", None]
    with pytest.raises(errors.InvalidCredentialsError, match="plaintext"):
        Policy("ws://198.51.100.7:1", token="secret-of-tests")


@pytest.mark.parametrize(
    "uri",
    ["", "http://x:1", "ws://", "ws://x:99999", "ws://u:p@x:1", "ws://x:1/?a=b", "ws://é:1"],
)
def test_what_names_no_websocket_is_refused(uri: str) -> None:
    with pytest.raises(errors.InvalidAddressError, match="names no websocket; write ws://"):
        Policy(uri)


def test_a_wrong_argument_is_refused_before_anything_connects() -> None:
    url = "ws://127.0.0.1:9"
    with pytest.raises(errors.ArgumentTypeError, match="uri must be a str, got int"):
        Policy(9)  # type: ignore[arg-type] # what users pass
    with pytest.raises(errors.InvalidArgumentError, match="horizon must be 1 or more, got 0"):
        Policy(url, horizon=0)
    with pytest.raises(errors.ArgumentTypeError, match="horizon must be a number"):
        Policy(url, horizon=True)
    with pytest.raises(errors.InvalidArgumentError, match="connect_timeout_seconds"):
        Policy(url, connect_timeout_seconds=-1)
    with pytest.raises(errors.InvalidAddressError, match="write wss://"):
        Policy(url, tls=rlmesh.ClientTLS())
    with pytest.raises((errors.ArgumentTypeError, errors.UnsupportedSpaceError)):
        Policy(url, observation_space=3)


def calls_of_each_session(worker: rlmesh.ModelWorker) -> list[int]:
    return sorted(each.calls for each in fetch_status(worker.address, 20.0).sessions)


def until(worker: rlmesh.ModelWorker, calls: list[int]) -> None:
    while calls_of_each_session(worker) != calls:
        threading.Event().wait(0.01)


def test_each_session_and_each_episode_of_a_worker_has_its_own_connection() -> None:
    with (
        working(Recurrent(), openpi=0) as behind,
        Policy(str(behind.openpi_address)) as policy,
        working(policy) as front,
    ):
        with rlmesh.RemoteModel(front.address) as one, rlmesh.RemoteModel(front.address) as two:
            for client in (one, two, one, one):
                client.predict(SEEN)
            # The first connection is the policy's own.
            assert calls_of_each_session(behind) == [0, 1, 3]
            one.reset()
            one.predict(SEEN)
            until(behind, [0, 1, 1])
        until(behind, [0])


def test_chunks_of_a_policy_are_executed_one_by_one_with_prefetch() -> None:
    with served(answering(chunk)) as url, Policy(url, **SPACES, horizon=HORIZON) as policy:
        with rlmesh.Chunks(policy, execute=2, prefetch=1) as chunks:
            for _ in range(2):
                chunks.reset()
                assert_same(chunks.act(SEEN), EXPECTED[0])
                assert_same(chunks.act(SEEN), EXPECTED[1])


def test_a_closed_policy_says_so_and_none_is_copied() -> None:
    with served(answering(chunk)) as url:
        with Policy(url, **SPACES) as policy:
            assert repr(policy) == f"Policy({url!r})"
            for copying in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(errors.ArgumentTypeError, match="cannot be copied or pickled"):
                    copying(policy)
        policy.close()
        for call in (policy.predict, policy.predict_chunk, policy.infer):
            with pytest.raises(errors.StateError, match="is closed; make a new one"):
                call(SEEN)
        with pytest.raises(errors.StateError, match="is closed"):
            policy.reset()
