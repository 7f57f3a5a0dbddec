"""What another process says reaches a log or a terminal printable, bounded and in its line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import pytest

import rlmesh
from rlmesh.client.status import EndpointStatus, explain
from rlmesh.errors import CallTimeoutError
from rlmesh.foreign_text import LONGEST_NAME, LONGEST_TEXT, one_line, paragraphs
from rlmesh.transports.failures import error_from_failure, error_from_rpc
from rlmesh.transports.peer import Holder, describe
from rlmesh_api.v1 import env_service_pb2, session_pb2
from support.sample_envs import ScriptedEnv
from support.serving import serving

# It clears a screen, forges a line of a log, writes from right to left, and rings.
EVIL = "\x1b[2J\nERROR root: all is lost\r\u202e\x07\x9b31m"


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
    "a peer": lambda: describe(PEER),
    "a holder": lambda: Holder.from_proto(session_pb2.Holder(peer=PEER)),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_server_says_is_printable_and_bounded(way: str) -> None:
    said = str(WAYS[way]())
    assert all(c.isprintable() or c == "\n" for c in said)
    # Each character may become ten, as in `\U0001f600`; a message and a traceback.
    assert len(said) < 21 * LONGEST_TEXT


@pytest.mark.parametrize("fit", [one_line, paragraphs])
def test_what_is_fit_stays_as_it_is(fit: Callable[[str], str]) -> None:
    assert fit("train.py äöü 漢字 🤖") == "train.py äöü 漢字 🤖"
    assert fit("") == ""


def test_lines_stay_only_where_there_may_be_some() -> None:
    assert one_line("a\n\tb\x1b") == r"a\n\tb\x1b"
    assert paragraphs("a\n\tb\x1b\r") == "a\n\\tb\\x1b\\r"


def test_a_cut_is_marked() -> None:
    assert one_line("x" * (LONGEST_NAME + 7)) == "x" * LONGEST_NAME + "... (7 more characters)"


def test_the_name_of_an_attribute_forges_no_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "rlmesh")
    with (
        serving(ScriptedEnv()) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as client,
    ):
        with pytest.raises(AttributeError):
            client.get_wrapper_attr(EVIL * LONGEST_TEXT)
    [line] = caplog.messages
    assert line.isprintable()
    assert len(line) < 11 * LONGEST_TEXT
