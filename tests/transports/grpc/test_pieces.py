"""Requests that are larger than what a server receives in one message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.errors import CallTimeoutError, ProtocolError
from rlmesh.transports.grpc import pieces as subject
from rlmesh.transports.grpc import stream_io
from rlmesh.transports.grpc.pieces import PIECE_BYTES, pieces, whole_messages
from support.sample_envs import ScriptedEnv
from support.serving import remote


@given(messages=st.lists(st.binary(max_size=40)), size=st.integers(1, 9))
def test_what_is_cut_is_joined(messages: list[bytes], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "PIECE_BYTES", size)
        crossed = [piece for message in messages for piece in pieces(message)]
        assert all(len(piece) <= size for piece in crossed)
        assert list(whole_messages(iter(crossed), pytest.fail)) == messages


def test_a_request_without_an_end_is_refused_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_MESSAGE_BYTES", 3 * PIECE_BYTES)
    refused: list[str] = []
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        piece = bytes(PIECE_BYTES)
        while True:
            taken += 1
            yield piece

    assert list(whole_messages(endless(), refused.append)) == []
    assert (refused, taken) == ([f"a request has more than {3 * PIECE_BYTES} bytes"], 4)


class Telling(ScriptedEnv):
    """Says in its info how long the text in the options of a reset is."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        observation, _ = super().reset(seed=seed)
        return observation, {"length": len((options or {}).get("text", ""))}


@pytest.mark.parametrize("io", ["swift", "plain"])
def test_a_request_of_any_size_arrives_whole(io: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if io == "plain":

        def differently_built(*_: Any) -> None:
            raise AttributeError

        monkeypatch.setattr(stream_io, "SwiftStreamIO", differently_built)
    with remote(Telling(), transport="grpc") as client:
        # Some bytes stand around the text, so that one of the requests is just a piece long.
        sizes = [*range(PIECE_BYTES - 40, PIECE_BYTES, 1), 2 * PIECE_BYTES, 5 * PIECE_BYTES + 1]
        for size in sizes:
            assert client.reset(options={"text": "x" * size})[1]["length"] == size
        assert client.reset()[1]["length"] == 0


def test_a_request_that_is_cut_short_costs_the_connection_and_not_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = [False, True]
    send_piece = stream_io.SwiftStreamIO.send_piece

    def slow(self: Any, message: bytes, deadline: float | None) -> bool:
        # The second piece does not leave in time.
        return send_piece(self, message, deadline) if not left or left.pop() else False

    env = Telling()
    with remote(env, transport="grpc", request_timeout_seconds=20) as client:
        client.reset()
        monkeypatch.setattr(stream_io.SwiftStreamIO, "send_piece", slow)
        with pytest.raises(CallTimeoutError):
            client.reset(options={"text": "x" * 3 * PIECE_BYTES})
        assert client.reset(options={"text": "x" * 3 * PIECE_BYTES})[1]["length"] == 3 << 20
    assert env.names().count("reset") == 2


def test_a_request_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_MESSAGE_BYTES", 2 * PIECE_BYTES)
    with remote(Telling(), transport="grpc") as client:
        client.reset()
        with pytest.raises(ProtocolError, match="more than"):
            client.reset(options={"text": "x" * 3 * PIECE_BYTES})
