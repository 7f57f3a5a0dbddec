"""The grammar of addresses: parse, print, and as targets of gRPC.

    tcp://HOST:PORT   HOST:PORT   PORT   tcp://[IPV6]:PORT   [IPV6]:PORT   unix:///ABSOLUTE/PATH

A port alone means the IPv4 loopback. Port 0 lets the system choose, which only a server may ask.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote

from rlmesh.errors import ArgumentTypeError, InvalidAddressError

LOOPBACK = "127.0.0.1"
# sun_path of sockaddr_un holds 108 bytes on Linux and 104 on macOS, with a final NUL.
MAX_PATH_BYTES = 103

_ALLOWED = "tcp://HOST:PORT, HOST:PORT, PORT, [IPV6]:PORT or unix:///ABSOLUTE/PATH"
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?!.*[^.]{64})[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?"
)
_SCOPE = re.compile(r"[A-Za-z0-9_.-]{1,15}")


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP endpoint.

    Attributes:
        host: A host name or an IP address, IPv6 without brackets.
        port: 0 to 65535; 0 stands for a port that is not chosen yet.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://{self._authority}"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def bind_target(self) -> str:
        """What a gRPC server binds to."""
        return self._authority

    @property
    def dial_target(self) -> str:
        """What a gRPC channel connects to."""
        try:
            version = ipaddress.ip_address(self.host).version
        except ValueError:
            return f"dns:///{self._authority}"
        return f"ipv{version}:{self._authority}"

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach it.

        For the name `localhost`, what counts is where it leads: a hosts file may map it elsewhere.
        No other name is looked up, so none is taken for the loopback.
        """
        if self.host.rstrip(".").lower() == "localhost":
            return _leads_to_loopback(self.host.rstrip("."))
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _leads_to_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    hosts = [str(where[0]).partition("%")[0] for *_, where in found]
    return all(ipaddress.ip_address(each).is_loopback for each in hosts)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket.

    Attributes:
        path: The absolute path of the socket file.
    """

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"

    @property
    def bind_target(self) -> str:
        """What a gRPC server binds to."""
        return f"unix:{quote(os.fsencode(self.path))}"

    @property
    def dial_target(self) -> str:
        """What a gRPC channel connects to."""
        return f"unix:{quote(os.fsencode(self.path))}"

    @property
    def is_loopback(self) -> bool:
        """Always true: a Unix socket never leaves its machine."""
        return True


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Reads an address.

    Raises:
        ArgumentTypeError: If it is no text.
        InvalidAddressError: If it names no endpoint.
    """
    if not isinstance(text, str):
        raise ArgumentTypeError(
            f"address must be a str ({_ALLOWED}), got {type(text).__name__} {text!r}"
        )
    scheme, separator, rest = text.partition("://")
    if not separator:
        if text.startswith("unix:"):
            _refuse(text, "a Unix address is unix:// and an absolute path, unix:///tmp/env.sock")
        scheme, rest = "tcp", text
    if scheme == "unix":
        return _unix(text, rest)
    if scheme == "tcp":
        return _tcp(text, rest)
    _refuse(text, f"the scheme {scheme!r} is unknown")


def address_from(
    address: str | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Address:
    """Builds a server's address from one of the ways to give it; from none, a free loopback port.

    Raises:
        ArgumentTypeError: If a part has the wrong type.
        InvalidAddressError: If two ways are mixed, or the parts name no endpoint.
    """
    ways = {
        "address=": address is not None,
        "host=/port=": host is not None or port is not None,
        "path=": path is not None,
    }
    given = [way for way, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise InvalidAddressError(
            f"give the address one way only, got {' and '.join(given)}; use one of "
            f"{', '.join(ways)}"
        )
    if address is not None:
        return parse_address(address)
    if path is not None:
        if not isinstance(path, (str, os.PathLike)):
            raise ArgumentTypeError(
                f"path must be a str or a path object, got {type(path).__name__} {path!r}"
            )
        given_path: str = os.fspath(path)
        if not given_path:
            raise InvalidAddressError("path must name a socket file, got ''")
        absolute = os.path.abspath(given_path)
        return _unix(f"unix://{absolute}", absolute)
    if host is not None and not isinstance(host, str):
        raise ArgumentTypeError(f"host must be a str, got {type(host).__name__} {host!r}")
    if port is not None and (isinstance(port, bool) or not isinstance(port, int)):
        raise ArgumentTypeError(f"port must be an int, got {type(port).__name__} {port!r}")
    number = 0 if port is None else port
    if not 0 <= number <= 65535:
        raise InvalidAddressError(f"port must be 0 to 65535, got {number}; 0 chooses a free one")
    name = LOOPBACK if host is None else host.removeprefix("[").removesuffix("]")
    return TcpAddress(_host(f"host={host!r}", name), number)


def _tcp(text: str, rest: str) -> TcpAddress:
    if rest.startswith("["):
        host, bracket, port = rest[1:].partition("]")
        if not bracket or not port.startswith(":"):
            _refuse(text, "after a bracketed IPv6 address comes ]:PORT")
        try:
            scope = ipaddress.IPv6Address(host).scope_id
        except ValueError:
            _refuse(text, f"{host!r} is no IPv6 address")
        _check_scope(text, scope)
        return TcpAddress(host, _port(text, port[1:]))
    if rest.count(":") > 1:
        _refuse(text, "an IPv6 address stands in brackets, [::1]:5555")
    host, colon, port = rest.rpartition(":")
    if not colon:
        if not rest.isdecimal():
            _refuse(text, "the port is missing")
        return TcpAddress(LOOPBACK, _port(text, rest))
    if not host:
        _refuse(text, f"the host is missing; {LOOPBACK} is this machine")
    return TcpAddress(_host(text, host), _port(text, port))


def _host(text: str, host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        looks_numeric = host.replace(".", "").isdecimal()
        if looks_numeric or not _HOST_NAME.fullmatch(host):
            _refuse(text, f"{host!r} is neither a host name nor an IP address")
    else:
        _check_scope(text, getattr(address, "scope_id", None))
    return host


def _check_scope(text: str, scope: str | None) -> None:
    # Python takes any text there, NUL and line breaks included.
    # And a socket takes no name with two dots in a row: it encodes a host as IDNA.
    if scope is not None and (not _SCOPE.fullmatch(scope) or ".." in scope or scope[0] == "."):
        _refuse(text, f"{scope!r} is no name of a network interface")


def _port(text: str, port: str) -> int:
    # The length first: Python reads no integer of thousands of digits.
    if not (port.isascii() and port.isdecimal() and len(port) <= 5) or int(port) > 65535:
        _refuse(text, f"the port must be 0 to 65535, got {port!r:.80}")
    return int(port)


def _unix(text: str, path: str) -> UnixAddress:
    if not path.startswith("/"):
        _refuse(text, "the path of a Unix address is absolute, unix:///tmp/env.sock")
    if "\0" in path:
        _refuse(text, "a path holds no NUL")
    try:
        size = len(os.fsencode(path))
    except UnicodeEncodeError:
        _refuse(text, "the path holds characters that no file name has")
    if size > MAX_PATH_BYTES:
        _refuse(
            text,
            f"the path has {size} bytes and a socket's may have {MAX_PATH_BYTES}; choose a "
            f"shorter one",
        )
    if path.endswith("/"):
        _refuse(text, "the path names a folder, not a socket")
    return UnixAddress(path)


def _refuse(text: str, reason: str) -> NoReturn:
    raise InvalidAddressError(f"{text!r} is no address: {reason}. Allowed: {_ALLOWED}")
