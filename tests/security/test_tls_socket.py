"""The encrypted connection under a port: what is decrypted already, and what was torn apart."""

from __future__ import annotations

import contextlib
import select
import ssl
from collections.abc import Generator
from typing import Any

import pytest

from rlmesh.transports.tcp.tls_socket import TlsSocket
from support.pipes import SOON, tls_pair


@contextlib.contextmanager
def joined() -> Generator[tuple[TlsSocket, ssl.SSLSocket]]:
    """A connection of ours, and its bare other end."""
    ours, theirs = tls_pair()
    ours.setblocking(False)
    theirs.settimeout(SOON)
    made = TlsSocket(ours)
    try:
        yield made, theirs
    finally:
        made.close()
        theirs.close()


def polled(sock: TlsSocket, seconds: float) -> list[tuple[int, int]]:
    poller = sock.poller()
    poller.register(sock, select.POLLIN)
    return poller.poll(seconds * 1000)


def test_nothing_yet_is_said_as_a_socket_says_it() -> None:
    with joined() as (ours, _), pytest.raises(BlockingIOError):
        ours.recv_into(bytearray(10))


def test_no_room_is_said_as_a_socket_says_it() -> None:
    with joined() as (ours, _):
        room = range(10_000)
        with pytest.raises(BlockingIOError):
            sum(ours.send(bytes(1 << 16)) for _ in room)


def test_what_did_not_go_goes_later_and_arrives_once() -> None:
    sent, arrived = 0, bytearray()
    text = bytes(range(256)) * 40_000
    with joined() as (ours, theirs):
        while len(arrived) < len(text):
            with contextlib.suppress(BlockingIOError):
                while sent < len(text):
                    sent += ours.send(memoryview(text)[sent:])
            arrived += theirs.recv(1 << 16)
    assert arrived == text


def test_the_rest_of_a_record_is_found_by_polling() -> None:
    with joined() as (ours, theirs):
        theirs.sendall(b"0123456789")
        assert polled(ours, SOON)
        part = bytearray(4)
        assert ours.recv_into(part) == 4
        # All of it has left the socket: no other poll would say that there is more.
        assert select.select([ours.fileno()], [], [], 0)[0] == []
        assert polled(ours, SOON) == [(ours.fileno(), select.POLLIN)]
        rest = bytearray(100)
        assert ours.recv_into(rest) == 6
        assert bytes(part) + bytes(rest[:6]) == b"0123456789"
        assert polled(ours, 0) == []


def test_another_descriptor_is_not_forgotten_over_the_rest_of_a_record() -> None:
    with joined() as (ours, theirs), joined() as (other, calling):
        theirs.sendall(b"0123456789")
        calling.sendall(b"x")
        assert polled(ours, SOON)
        ours.recv_into(bytearray(1))
        poller = ours.poller()
        poller.register(ours, select.POLLIN)
        poller.register(other, select.POLLIN)
        assert {found for found, _ in poller.poll(0)} == {ours.fileno(), other.fileno()}


def test_the_end_of_the_other_side_is_the_end_as_of_a_socket() -> None:
    with joined() as (ours, theirs):
        theirs.close()
        assert polled(ours, SOON)
        assert ours.recv_into(bytearray(10)) == 0


def test_after_a_shutdown_nothing_encrypted_is_handed_out() -> None:
    with joined() as (ours, theirs):
        theirs.sendall(b"secret")
        assert polled(ours, SOON)
        ours.shutdown(2)
        buffer = bytearray(100)
        moved = ours.recv_into(buffer)
        assert bytes(buffer[:moved]) in (b"secret", b"")


@pytest.mark.parametrize("call", ["recv_into", "send"])
def test_a_connection_that_was_interrupted_in_a_record_is_not_used_again(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    with joined() as (ours, _):
        with monkeypatch.context() as patch:
            patch.setattr(ssl.SSLSocket, call, interrupted)
            with pytest.raises(KeyboardInterrupt):
                getattr(ours, call)(bytearray(10))
        for later in ("recv_into", "send"):
            with pytest.raises(ConnectionAbortedError):
                getattr(ours, later)(bytearray(10))
