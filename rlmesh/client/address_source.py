"""Where a vector client finds the addresses of its endpoints: a list, files, or the DNS."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlmesh.address import TcpAddress
from rlmesh.client.channel import dialable
from rlmesh.errors import EndpointUnreachableError, InvalidAddressError
from rlmesh.foreign_text import one_line

FILE, DNS = "file:", "dns:"


class AddressSource(ABC):
    """Where the addresses of endpoints stand. Any thread may ask.

    Attributes:
        server_name: The name that the servers' certificates must have; None: each its own host.
    """

    server_name: str | None

    @abstractmethod
    def addresses(self) -> list[str]:
        """The addresses that stand there now, each as often as it has sessions for this client.

        Raises:
            EndpointUnreachableError: If no address stands there.
            InvalidAddressError: If what stands there cannot be read as addresses.
        """


class AddressList(AddressSource):
    """Addresses that never change; see `AddressSource`.

    Args:
        addresses: The addresses.

    Raises:
        InvalidAddressError: If a client cannot connect to one of them.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.server_name: str | None = None
        self._addresses = [str(dialable(address)) for address in addresses]

    def addresses(self) -> list[str]:
        """The addresses; see `AddressSource`."""
        return list(self._addresses)


class AddressFiles(AddressSource):
    """A file with one address a line, or a folder of such files; see `AddressSource`.

    Empty lines, and those that begin with `#`, are left out. So are files whose names begin with a
    dot, as those are that are about to be renamed.

    Args:
        path: The path of the file or the folder.
    """

    def __init__(self, path: str) -> None:
        self.server_name: str | None = None
        self._path = Path(path)

    def __str__(self) -> str:
        return f"{FILE}{self._path}"

    def addresses(self) -> list[str]:
        """The addresses that stand there now; see `AddressSource`."""
        addresses: list[str] = []
        for path in self._files():
            addresses += _read(path)
        if not addresses:
            raise EndpointUnreachableError(
                f"no address stands in {self._path}; start servers with `rlmesh serve ... "
                f"--announce {self._path}`, or write one address a line"
            )
        return addresses

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        return sorted(
            path
            for path in self._path.iterdir()
            if not path.name.startswith(".") and path.is_file()
        )


class DnsAddresses(AddressSource):
    """All addresses that a name has in the DNS, as a headless service has them.

    See `AddressSource`. The certificates of the servers are valid for the name.

    Args:
        name: The name.
        port: The port of every server.
    """

    def __init__(self, name: str, port: int) -> None:
        self.server_name: str | None = name
        self._name, self._port = name, port

    def __str__(self) -> str:
        return f"{DNS}{self._name}:{self._port}"

    def addresses(self) -> list[str]:
        """The addresses that the name has now; see `AddressSource`."""
        try:
            found = socket.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise EndpointUnreachableError(
                f"the name {self._name!r} of {DNS}{self._name}:{self._port} has no address: "
                f"{error.strerror or error}; a headless service has one for each server that is "
                f"ready"
            ) from error
        # Neither the order nor the number of equal answers means anything in the DNS.
        hosts = sorted({str(where[0]) for *_, where in found})
        return [str(TcpAddress(host, self._port)) for host in hosts]


def source_of(address: Any) -> AddressSource | None:
    """The source that a user names; None where it is an address, or a list of them.

    Args:
        address: What the user gave: `file:PATH`, `dns:NAME:PORT`, or something else.

    Raises:
        InvalidAddressError: If it is no such source, though it begins like one.
    """
    if not isinstance(address, str):
        return None
    if address.startswith(FILE):
        path = address.removeprefix(FILE)
        if not path:
            raise InvalidAddressError(
                f"{address!r} names no file; give the path of a file with one address a line, or "
                f"of a folder of such files, as in file:/shared/servers"
            )
        return AddressFiles(path)
    if address.startswith(DNS):
        name = address.removeprefix(DNS)
        try:
            parsed = dialable(f"tcp://{name}")
        except InvalidAddressError as error:
            raise InvalidAddressError(
                f"{address!r} is no source of addresses: {error}. Give dns:NAME:PORT, as in "
                f"dns:envs.default.svc.cluster.local:5555"
            ) from error
        assert isinstance(parsed, TcpAddress)  # noqa: S101 # as it begins with tcp://
        return DnsAddresses(parsed.host, parsed.port)
    return None


def _read(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        # A server that has ended takes its file away.
        return []
    except OSError as error:
        raise InvalidAddressError(
            f"the addresses in {path} cannot be read: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidAddressError(
            f"{path} holds no text of addresses; write one address a line"
        ) from error
    lines = text.splitlines()
    if text and not text.endswith("\n"):
        raise InvalidAddressError(
            f"{path}, line {len(lines)}: {one_line(repr(lines[-1]), 80)} has no line break after "
            f"it, so the file may be half written; end each line, and put a file in place whole, "
            f"by renaming it"
        )
    addresses: list[str] = []
    for number, line in enumerate(lines, 1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        try:
            addresses.append(str(dialable(written)))
        except InvalidAddressError as error:
            raise InvalidAddressError(f"{path}, line {number}: {error}") from error
    return addresses
