"""How a client connects is checked once, before anything is connected."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

import rlmesh
from rlmesh.client.connect_options import EnvConnectOptions, read_common
from rlmesh.errors import InvalidAddressError

# Nothing listens there: what is refused is refused before a connection is tried.
NOWHERE = "tcp://127.0.0.1:9"


def keywords(function: Any) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}


def options(**changes: Any) -> EnvConnectOptions:
    given: dict[str, Any] = {
        "vector": False,
        "connect_timeout_seconds": 10.0,
        "request_timeout_seconds": None,
        "busy_timeout_seconds": 0.0,
        "transport": None,
        "copy": True,
        "token": None,
        "tls": None,
        "insecure": False,
        "expect": None,
        "expected_contract": None,
        "reconnect": True,
        "max_contract_bytes": 1 << 30,
        "render_mode": None,
    }
    return EnvConnectOptions.read(**given | changes)


def test_the_options_take_every_keyword_of_both_clients() -> None:
    taken = keywords(EnvConnectOptions.read) | keywords(read_common)
    taken -= {"vector", "agents", "expected_contract"}
    # These are for the endpoints together.
    own = {"batch_size", "num_envs", "on_loss"}
    assert keywords(rlmesh.RemoteVectorEnv) - own == taken
    assert keywords(rlmesh.RemoteEnv) == taken - {"autoreset"}


def test_a_client_of_a_model_takes_what_all_clients_take() -> None:
    own = {"model", "expect", "env", "steps"}
    assert keywords(rlmesh.RemoteModel) == keywords(read_common) | own


def test_options_cannot_be_changed_after_they_are_checked() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        options().reconnect = False  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue] # refused, as it says
    assert not hasattr(options(), "__dict__")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"connect_timeout_seconds": -1.0}, "connect_timeout_seconds must be 0 to"),
        ({"request_timeout_seconds": "1"}, "request_timeout_seconds must be a number"),
        ({"busy_timeout_seconds": True}, "busy_timeout_seconds must be a number"),
        ({"transport": "pigeon"}, "transport must be one of shm, direct, grpc"),
        ({"token": "two words"}, "token must be"),
        ({"tls": "cert.pem"}, "tls must be a rlmesh.ClientTLS"),
        ({"expect": 5}, "expect must be an EnvContract"),
        ({"max_contract_bytes": 0}, "max_contract_bytes must be 1 or more, got 0"),
        ({"max_contract_bytes": 1e9}, "max_contract_bytes must be an int, got float"),
        ({"max_contract_bytes": True}, "max_contract_bytes must be an int, got bool"),
        ({"render_mode": 1}, "render_mode must be a str or None, got int 1"),
        ({"reconnect": 1}, "reconnect must be True or False"),
        ({"autoreset": "sometimes"}, "autoreset must be one of"),
    ],
)
def test_each_option_is_checked_before_the_address(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        options(**wrong)
    with pytest.raises((TypeError, ValueError), match=text) as caught:
        rlmesh.RemoteVectorEnv(f"{NOWHERE}9999999", **wrong)
    assert not isinstance(caught.value, InvalidAddressError)


def test_the_environment_variables_stand_in_for_what_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RLMESH_TRANSPORT", "grpc")
    monkeypatch.setenv("RLMESH_TOKEN", "t0ken")
    assert options().transport == "grpc"
    assert options(transport="shm").transport == "shm"
    token = options().credentials.token
    assert token is not None
    assert token.is_shown_by(b"Bearer t0ken")
