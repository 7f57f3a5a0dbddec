from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.address import (
    MAX_PATH_BYTES,
    Address,
    TcpAddress,
    UnixAddress,
    address_from,
    parse_address,
)
from rlmesh.errors import ArgumentTypeError, InvalidAddressError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://127.0.0.1:5555", TcpAddress("127.0.0.1", 5555)),
        ("127.0.0.1:5555", TcpAddress("127.0.0.1", 5555)),
        ("5555", TcpAddress("127.0.0.1", 5555)),
        ("0", TcpAddress("127.0.0.1", 0)),
        ("tcp://5555", TcpAddress("127.0.0.1", 5555)),
        ("65535", TcpAddress("127.0.0.1", 65535)),
        ("[::1]:5555", TcpAddress("::1", 5555)),
        ("tcp://[::1]:0", TcpAddress("::1", 0)),
        ("[2001:db8::7]:80", TcpAddress("2001:db8::7", 80)),
        ("[fe80::1%eth0.1]:80", TcpAddress("fe80::1%eth0.1", 80)),
        ("localhost:1", TcpAddress("localhost", 1)),
        (f"{'a' * 63}.b:1", TcpAddress(f"{'a' * 63}.b", 1)),
        ("gpu-3.lab.example:5555", TcpAddress("gpu-3.lab.example", 5555)),
        ("sim_1:5555", TcpAddress("sim_1", 5555)),
        ("0.0.0.0:5555", TcpAddress("0.0.0.0", 5555)),  # noqa: S104 - only parsed
        ("unix:///tmp/e.sock", UnixAddress("/tmp/e.sock")),  # noqa: S108 - only parsed
        ("unix:///a folder/é%20?#.sock", UnixAddress("/a folder/é%20?#.sock")),
    ],
)
def test_reads_every_form(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (TcpAddress("127.0.0.1", 5555), "tcp://127.0.0.1:5555"),
        (TcpAddress("::1", 5555), "tcp://[::1]:5555"),
        (TcpAddress("localhost", 0), "tcp://localhost:0"),
        (UnixAddress("/run/e.sock"), "unix:///run/e.sock"),
    ],
)
def test_prints_the_full_form(address: Address, text: str) -> None:
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "tcp://",
        "127.0.0.1",
        "127.0.0.1:",
        ":5555",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:55.5",
        "127.0.0.1:http",
        "127.0.0.1:5555/",
        "127.0.0.1:5555/path",
        "127.0.0.1: 5555",
        " 127.0.0.1:5555",
        "127.0.0.1:5555\n",
        "127.0.0.1:٥٥٥٥",
        "٥٥٥٥",
        "65536",
        "-1",
        "9" * 5000,
        f"localhost:{'9' * 5000}",
        # More than a label may have: a socket would raise a bare UnicodeError.
        f"{'a' * 64}:5555",
        f"b.{'a' * 64}.c:5555",
        "[::1%\0]:5555",
        "[::1%a b]:5555",
        "[::1%a..b]:5555",
        "[::1%.a]:5555",
        "256.0.0.1:5555",
        "1.2.3:5555",
        "1:5555",
        "::1:5555",
        "::1",
        "[::1]",
        "[::1]5555",
        "[::1:5555",
        "[127.0.0.1]:5555",
        "[nowhere]:5555",
        "-host:5555",
        "ho st:5555",
        "user@host:5555",
        "hôst:5555",
        f"{'a' * 254}:5555",
        "http://127.0.0.1:5555",
        "grpc://127.0.0.1:5555",
        "TCP://127.0.0.1:5555",
        "://127.0.0.1:5555",
        "unix:/tmp/e.sock",
        "unix://",
        "unix://tmp/e.sock",
        "unix://./e.sock",
        "unix:///",
        "unix:///tmp/",
        "unix:///tmp/e\0.sock",
        "unix:///tmp/\ud800.sock",
        "unix:///" + "e" * MAX_PATH_BYTES,
        "unix:///" + "é" * (MAX_PATH_BYTES // 2 + 1),
    ],
)
def test_refuses_what_names_no_endpoint(text: str) -> None:
    with pytest.raises(InvalidAddressError) as caught:
        parse_address(text)
    assert isinstance(caught.value, ValueError)
    assert "Allowed: tcp://HOST:PORT" in str(caught.value)
    assert repr(text)[:40] in str(caught.value)


@pytest.mark.parametrize("value", [None, 5555, b"127.0.0.1:5555", ("127.0.0.1", 5555)])
def test_refuses_what_is_no_text(value: object) -> None:
    with pytest.raises(ArgumentTypeError, match="address must be a str") as caught:
        parse_address(value)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # misuse
    assert isinstance(caught.value, TypeError)


hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True),
)
tcp_addresses = st.builds(TcpAddress, hosts, st.integers(0, 65535))
unix_addresses = (
    st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1)
    .filter(lambda name: len(os.fsencode(name)) < MAX_PATH_BYTES)
    .map(lambda name: UnixAddress(f"/{name}"))
)


@given(tcp_addresses | unix_addresses)
def test_what_is_printed_is_read_back(address: Address) -> None:
    assert parse_address(str(address)) == address


@given(st.text())
def test_any_text_is_read_or_refused_with_the_one_error(text: str) -> None:
    try:
        address = parse_address(text)
    except InvalidAddressError:
        return
    assert parse_address(str(address)) == address


def test_nothing_given_is_a_free_port_of_the_loopback() -> None:
    assert address_from() == TcpAddress("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        (None, 5555, TcpAddress("127.0.0.1", 5555)),
        ("localhost", None, TcpAddress("localhost", 0)),
        ("localhost", 80, TcpAddress("localhost", 80)),
        ("::1", 80, TcpAddress("::1", 80)),
        ("[::1]", 80, TcpAddress("::1", 80)),
    ],
)
def test_host_and_port_may_each_stand_alone(
    host: str | None, port: int | None, expected: Address
) -> None:
    assert address_from(host=host, port=port) == expected


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = UnixAddress(os.path.join(os.getcwd(), "e.sock"))
    assert address_from(path="e.sock") == expected
    assert address_from(path=Path("e.sock")) == expected


@pytest.mark.parametrize(
    "ways",
    [
        {"address": "5555", "port": 5555},
        {"address": "5555", "host": "localhost"},
        {"address": "5555", "path": "/run/e.sock"},
        {"port": 5555, "path": "/run/e.sock"},
    ],
)
def test_refuses_two_ways_at_once(ways: dict[str, object]) -> None:
    with pytest.raises(InvalidAddressError, match="one way only"):
        address_from(**ways)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # a table


@pytest.mark.parametrize(
    "parts",
    [
        {"port": -1},
        {"port": 65536},
        {"host": ""},
        {"host": "a host"},
        {"host": "127.0.0.1:5555"},
        {"host": "tcp://127.0.0.1"},
        {"host": "256.1.1.1"},
        {"path": ""},
        {"path": "/run/e\0.sock"},
        {"path": "/run/" + "e" * MAX_PATH_BYTES},
    ],
)
def test_refuses_parts_that_name_no_endpoint(parts: dict[str, object]) -> None:
    with pytest.raises(InvalidAddressError) as caught:
        address_from(**parts)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # a table
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "parts",
    [
        {"address": 5555},
        {"port": "5555"},
        {"port": 5555.0},
        {"port": True},
        {"host": 127},
        {"host": b"localhost"},
        {"path": 7},
        {"path": b"/run/e.sock"},
    ],
)
def test_refuses_parts_of_the_wrong_type(parts: dict[str, object]) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        address_from(**parts)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # a table
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("LOCALHOST.:1", True),
        ("unix:///run/e.sock", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("192.168.0.7:1", False),
        ("gpu-3:1", False),
        ("localhost.example:1", False),
    ],
)
def test_knows_what_stays_on_this_machine(text: str, loopback: bool) -> None:
    assert parse_address(text).is_loopback is loopback
