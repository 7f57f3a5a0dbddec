"""Addresses, of users and of the transports that a server offers."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from random import Random

from fuzz.target import Feed, Target, expect
from rlmesh.address import TcpAddress, parse_address
from rlmesh.errors import InvalidAddressError

_SEEDS = (
    "tcp://127.0.0.1:5555",
    "localhost:0",
    "5555",
    "[::1]:65535",
    "tcp://[fe80::1%eth0]:1",
    "a-b.example_1.:80",
    "unix:///tmp/env.sock",
    ":5555",
)
_PARTS = (
    *(
        "tcp://",
        "unix://",
        "unix:",
        "[",
        "]",
        ":",
        ".",
        "%",
        "/",
        "\0",
        "0",
        "٣",
        "65536",
        "\ud800",
    ),
    *("a" * 64, "127.0.0.1", "::1", "localhost", " ", "\n", "@", "é", "_", "-"),
)


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    def feed(data: bytes) -> None:
        text = data.decode("utf-8", "surrogatepass" if len(data) % 2 else "replace")
        try:
            address = parse_address(text)
        except InvalidAddressError:
            return
        expect(parse_address(str(address)) == address, f"{text!r} is another address in print")
        expect(address.dial_target.isascii(), f"gRPC is given {address.dial_target!r}")
        expect(address.bind_target.isprintable(), f"gRPC is given {address.bind_target!r}")
        expect(isinstance(address.is_loopback, bool), "an address is loopback or not")
        if isinstance(address, TcpAddress):
            # What a socket does with a host before it asks anybody.
            address.host.encode("idna")

    def decoded(data: bytes) -> None:
        with contextlib.suppress(UnicodeDecodeError):
            feed(data)

    yield decoded


def _mutate(data: bytes, random: Random) -> bytes:
    text = data.decode("utf-8", "replace")
    at, part = random.randrange(len(text) + 1), random.choice(_PARTS)
    rest = at + random.choice((0, 0, 1, 4))
    return (text[:at] + part + text[rest:]).encode("utf-8", "surrogatepass")


def _seeds() -> Iterable[bytes]:
    return (text.encode() for text in _SEEDS)


ADDRESSES = Target(
    "addresses", "addresses, as users and servers write them", _opened, _seeds, _mutate, longest=400
)
