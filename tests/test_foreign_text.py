"""What another process says reaches a log or a terminal printable, bounded and in its line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

import rlmesh
from rlmesh import spaces
from rlmesh._cli.failure import one_line as cli_line
from rlmesh.client.expected_contract import read_model_response, read_response
from rlmesh.client.status import EndpointStatus, explain
from rlmesh.client.transport_selection import _direct_address
from rlmesh.client.unexposed import unexposed
from rlmesh.contract import EnvContract, read_contract
from rlmesh.errors import (
    CallTimeoutError,
    InvalidArgumentError,
    ProtocolError,
    RemoteEnvError,
    RlmeshError,
)
from rlmesh.foreign_text import LONGEST_NAME, LONGEST_TEXT, one_line, paragraphs
from rlmesh.transports.failures import error_from_failure, error_from_rpc
from rlmesh.transports.peer import Holder, describe
from rlmesh_api.v1 import env_service_pb2, model_service_pb2, session_pb2
from support.raw_sessions import raw_session, serving_contract
from support.sample_envs import ScriptedEnv
from support.serving import serving
from support.vector_envs import sync_sub_envs

# It clears a screen, forges a line of a log, writes from right to left, and rings.
EVIL = "\x1b[2J\nERROR root: all is lost\r\u202e\x07\x9b31m"
LONG = EVIL * LONGEST_TEXT


class Refusal(grpc.RpcError, grpc.Call):
    """What grpc raises where a server ends a call."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return EVIL * LONGEST_TEXT

    def initial_metadata(self) -> Any:
        return ()

    def trailing_metadata(self) -> Any:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float:
        return 0.0

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Any) -> bool:
        return False


def failure(code: int) -> session_pb2.Failure:
    text = EVIL * LONGEST_TEXT
    return session_pb2.Failure(
        code=session_pb2.ErrorCode.ValueType(code),
        message=text,
        traceback=text,
        exception_type=text,
    )


def late() -> CallTimeoutError:
    error = CallTimeoutError("step: no answer")
    status = env_service_pb2.GetStatusResponse()
    status.sessions.add(session_id="s", call=EVIL * 100, stack=EVIL * LONGEST_TEXT)
    explain(error, EndpointStatus.from_proto(status), "s")
    return error


def hostile_contract(env: Any) -> EnvContract:
    """A contract whose every text is hostile."""
    contract = read_contract(env)
    return replace(
        contract,
        id=LONG,
        spec=None,
        render_mode=LONG,
        observation_space=spaces.Dict({LONG: contract.observation_space}),
        action_space=spaces.Dict({LONG: contract.action_space}),
    )


def unreadable() -> RlmeshError:
    answer = env_service_pb2.GetContractResponse(contract=read_contract(ScriptedEnv()).to_proto())
    answer.server.version = LONG
    answer.contract.observation_space.dict.entries.add(key=LONG)
    with pytest.raises(ProtocolError) as caught:
        read_response(answer, "a")
    return caught.value


def unnamed_model() -> RlmeshError:
    answer = model_service_pb2.ModelServiceGetContractResponse(models=[LONG] * 100)
    with pytest.raises(InvalidArgumentError) as caught:
        read_model_response(answer, "a", None)
    return caught.value


def offered(address: str) -> RlmeshError:
    channels: Any = SimpleNamespace(host="127.0.0.1")
    with pytest.raises(ProtocolError) as caught:
        _direct_address(address, channels, anywhere=True)
    return caught.value


EXPECTED = read_contract(ScriptedEnv())
PEER = session_pb2.Peer(name=EVIL * 100, host=EVIL * 100)
WAYS: dict[str, Callable[[], object]] = {
    **{
        f"the failure {name}": partial(error_from_failure, failure(code), "a")
        for name, code in session_pb2.ErrorCode.items()
    },
    **{
        f"the status {code.name}": partial(error_from_rpc, Refusal(code), "a", doing="step")
        for code in grpc.StatusCode
    },
    "a late answer": late,
    "a contract that cannot be read": unreadable,
    "the names of models": unnamed_model,
    "an offer": lambda: offered(LONG),
    "the exposed names": lambda: unexposed("x", [LONG]),
    "a name that is not exposed": lambda: unexposed(LONG, ["x"]),
    "the command line": lambda: cli_line(
        error_from_failure(failure(session_pb2.ERROR_CODE_ENVIRONMENT), "a")
    ),
    "the command line, of a load": lambda: cli_line(
        RemoteEnvError("", exception_type="LoadError", exception_message=LONG)
    ),
    "a peer": lambda: describe(PEER),
    "a holder": lambda: Holder.from_proto(session_pb2.Holder(peer=PEER)),
}


def assert_fit(said: str) -> None:
    assert all(c.isprintable() or c == "\n" for c in said)
    # Each character may become ten, as in `\U0001f600`; a message and a traceback.
    assert len(said) < 21 * LONGEST_TEXT


@pytest.mark.parametrize("way", WAYS)
def test_what_a_server_says_is_printable_and_bounded(way: str) -> None:
    assert_fit(str(WAYS[way]()))


@pytest.mark.parametrize("fit", [one_line, paragraphs])
def test_what_is_fit_stays_as_it_is(fit: Callable[[str], str]) -> None:
    assert fit("train.py äöü 漢字 🤖") == "train.py äöü 漢字 🤖"
    assert fit("") == ""


def test_lines_stay_only_where_there_may_be_some() -> None:
    assert one_line("a\n\tb\x1b") == r"a\n\tb\x1b"
    assert paragraphs("a\n\tb\x1b\r") == "a\n\\tb\\x1b\\r"


def test_a_cut_is_marked() -> None:
    assert one_line("x" * (LONGEST_NAME + 7)) == "x" * LONGEST_NAME + "... (7 more characters)"


def with_client(address: str, use: Callable[[Any], object]) -> None:
    with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address, transport="grpc")) as client:
        use(client)


def beside_another(address: str) -> None:
    with serving(ScriptedEnv()) as server:
        rlmesh.RemoteVectorEnv([server.address, address])


USES: dict[str, Callable[[str], object]] = {
    "another contract": lambda address: rlmesh.RemoteEnv(address, expect=EXPECTED),
    "another render mode": lambda address: rlmesh.RemoteEnv(address, render_mode="human"),
    "no vector environment": rlmesh.RemoteVectorEnv,
    "other endpoints": beside_another,
    "a wrong action": lambda address: with_client(address, lambda client: client.step({})),
    "an attribute": lambda address: with_client(address, lambda client: client.unknown),
    "a vector environment": rlmesh.RemoteEnv,
}


@pytest.mark.parametrize("use", USES)
def test_what_a_hostile_contract_says_is_printable_and_bounded(use: str) -> None:
    env = sync_sub_envs() if use == "a vector environment" else ScriptedEnv()
    with (
        serving_contract(hostile_contract(env).to_proto()) as address,
        pytest.raises(RlmeshError) as caught,
    ):
        USES[use](address)
    assert_fit(str(caught.value))


def test_no_text_of_a_client_or_an_environment_forges_a_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "rlmesh")
    env = ScriptedEnv()
    text = EVIL * 20

    def fail() -> None:
        raise ValueError(text)

    env.script = {
        "reset": lambda: (env.position, {text: object(), "x": type(text, (), {})()}),
        "step": fail,
        "close": fail,
    }
    peer = session_pb2.Peer(name=text, host=text, version=text)
    with serving(env, expose=["level"]) as server, raw_session(server.address, peer=peer) as raw:
        get = session_pb2.ATTRIBUTE_VERB_GET
        answers = [
            raw.call(2, reset=session_pb2.ResetCall()),
            raw.call(3, step=session_pb2.StepCall(action=bytes(8))),
            raw.call(4, attribute=session_pb2.AttributeCall(name=LONG, verb=get)),
            raw.call(5, render=session_pb2.RenderCall()),
        ]
    assert [answer.WhichOneof("answer") for answer in answers[:3]] == [
        "reset",
        "failure",
        "failure",
    ]
    logged = "\n".join(caplog.messages)
    for word in ("begins", "(step)", "call 4 (", "close() raised", "arrives as text"):
        assert word in logged, word
    for line in caplog.messages:
        assert_fit(line)
        assert all(each.startswith("    ") for each in line.split("\n")[1:]), line
