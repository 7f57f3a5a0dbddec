"""What may be a token, where it comes from, how it is compared, and that nobody sees it."""

from __future__ import annotations

import contextlib
import hmac
import pickle
import traceback
from typing import Any

import pytest

import rlmesh
from rlmesh.address import parse_address
from rlmesh.errors import ArgumentTypeError, InvalidCredentialsError
from rlmesh.security import Credentials, Token, check_confidential, token_from
from support.sample_envs import ScriptedEnv
from support.serving import serving

SECRET = "correct-horse-battery-staple"
WRONG = ["", " ", "\n", "two words", "schlüssel", "a\0b", "tab\t", "x" * 4097]


@pytest.mark.parametrize("text", WRONG)
def test_what_no_header_carries_is_no_token(text: str) -> None:
    with pytest.raises(InvalidCredentialsError, match="printable ASCII") as caught:
        token_from(text, {})
    assert not text.strip() or text not in str(caught.value)


@pytest.mark.parametrize("text", WRONG)
def test_a_variable_that_holds_no_token_is_a_mistake_and_not_no_token(text: str) -> None:
    with pytest.raises(InvalidCredentialsError, match="RLMESH_TOKEN"):
        token_from(None, {"RLMESH_TOKEN": text})


@pytest.mark.parametrize("given", [b"bytes", 5, True, ["token"]])
def test_a_token_is_a_text(given: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="token must be a str") as caught:
        token_from(given, {})
    assert repr(given) not in str(caught.value)


def test_the_argument_goes_before_the_variable() -> None:
    token = token_from("mine", {"RLMESH_TOKEN": "theirs"})
    assert token is not None
    assert token.header == "Bearer mine"


def test_without_argument_and_variable_there_is_no_token() -> None:
    assert token_from(None, {}) is None


@pytest.mark.parametrize("refused", ["", "two words"])
def test_a_refused_token_leaves_nothing_bound(refused: str) -> None:
    with serving(ScriptedEnv()) as server:
        address = server.address
    with pytest.raises(InvalidCredentialsError):
        rlmesh.EnvServer(ScriptedEnv(), address, token=refused)
    with serving(ScriptedEnv(), address):
        pass


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[Any, Any]] = []

    def compare(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return bool(one == other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    with serving(ScriptedEnv(), token=SECRET) as server:
        with pytest.raises(rlmesh.errors.AuthenticationError):
            rlmesh.RemoteEnv(server.address, token="guess")
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address, token=SECRET)):
            pass
    expected = f"Bearer {SECRET}".encode()
    assert compared[0] == (expected, b"Bearer guess")
    assert all(shown in (expected, b"Bearer guess") for _, shown in compared)
    assert all(isinstance(part, bytes) for pair in compared for part in pair)


def test_nothing_that_holds_a_token_shows_it() -> None:
    token = Token(SECRET, "token")
    held = Credentials(token=token)
    for text in (repr(token), str(token), repr(held), f"{held}", repr(vars(type(token)))):
        assert SECRET not in text
    assert not hasattr(token, "__dict__")


def test_an_error_about_a_token_does_not_show_it() -> None:
    shown = f"{SECRET} with a blank"
    with pytest.raises(InvalidCredentialsError) as caught:
        rlmesh.EnvServer(ScriptedEnv(), token=shown)
    # But for the line of this file that gives it.
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET.encode() not in pickle.dumps(caught.value)


@pytest.mark.parametrize("address", ["192.0.2.1:5555", "env.example.org:5555", "[2001:db8::1]:1"])
def test_a_token_is_not_shown_to_a_network_that_reads_it(address: str) -> None:
    for make in (rlmesh.RemoteEnv, rlmesh.RemoteVectorEnv):
        with pytest.raises(InvalidCredentialsError, match=r"in plaintext.*ClientTLS") as caught:
            make(address, token=SECRET)
        assert SECRET not in str(caught.value)


def test_a_token_of_the_variable_is_not_shown_either_and_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RLMESH_TOKEN", SECRET)
    with pytest.raises(InvalidCredentialsError, match="the environment variable RLMESH_TOKEN"):
        rlmesh.RemoteEnv("192.0.2.1:5555")


@pytest.mark.parametrize(
    ("address", "credentials"),
    [
        ("127.0.0.1:5555", Credentials(token=Token(SECRET, "token"))),
        ("localhost:5555", Credentials(token=Token(SECRET, "token"))),
        ("unix:///run/env.sock", Credentials(token=Token(SECRET, "token"))),
        ("192.0.2.1:5555", Credentials(token=Token(SECRET, "token"), insecure=True)),
        ("192.0.2.1:5555", Credentials(token=Token(SECRET, "token"), tls=rlmesh.ClientTLS())),
        ("192.0.2.1:5555", Credentials()),
    ],
)
def test_elsewhere_it_may_be_shown(address: str, credentials: Credentials) -> None:
    check_confidential(credentials, parse_address(address))
