"""Writes a server's address where clients look for it, and takes it away at the server's end."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from rlmesh.address import Address, TcpAddress
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, SystemResourceError

_log = logging.getLogger("rlmesh.server")

# What a server is bound to that listens on every interface; clients elsewhere cannot connect there.
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class Announcement:
    """The address of a server, in a file that clients read: `RemoteVectorEnv("file:PATH")`.

    In a folder the server has its own file. A file may have the lines of several servers, each of
    which changes it while it holds a lock on the folder around it. Either way a file is written
    whole and then renamed, so that no reader finds half of it.

    Args:
        path: The file, or an existing folder.

    Raises:
        ArgumentTypeError: If it is no path.
        InvalidArgumentError: If there is no such folder, or no file can be made there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
            raise ArgumentTypeError(
                f"announce must be the path of a file or folder, got {type(path).__name__} "
                f"{path!r:.80}"
            )
        text = os.fspath(path)
        given = Path(text)
        self._own = given.is_dir()
        if not self._own and (text.endswith("/") or given.name.startswith(".")):
            raise InvalidArgumentError(
                f"announce={text!r}: there is no such folder; make it first"
                if text.endswith("/")
                else f"announce={text!r}: readers leave out files whose names begin with a dot"
            )
        self._folder = given if self._own else given.parent
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.address"
        self._file = given / name if self._own else given
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise InvalidArgumentError(
                f"announce={text!r}: no file can be made in {self._folder}; give a folder that "
                f"exists and that this user may write to"
            )
        self._line: str | None = None

    def publish(self, address: Address) -> None:
        """Writes the address; one that listens on every interface with the name of this machine.

        Raises:
            SystemResourceError: If the file cannot be written.
        """
        if isinstance(address, TcpAddress) and address.host in _EVERYWHERE:
            address = TcpAddress(socket.gethostname(), address.port)
        self._line = str(address)
        line = self._line
        self._change(lambda lines: [*lines, line])

    def withdraw(self) -> None:
        """Takes the address away, if it was written; what hinders that is logged, as a server ends.

        May be called repeatedly.
        """
        line, self._line = self._line, None
        if line is None:
            return
        try:
            self._change(lambda lines: _without(lines, line))
        except SystemResourceError as error:
            _log.warning("the address stays announced: %s", error)

    def _change(self, change: Callable[[list[str]], list[str]]) -> None:
        try:
            if self._own:
                self._write(change([]))
                return
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                before = self._file.read_text("utf-8") if self._file.exists() else ""
                self._write(change(before.splitlines()), keep=True)
            finally:
                os.close(folder)
        except (OSError, UnicodeDecodeError) as error:
            raise SystemResourceError(
                f"the address of this server cannot be kept in {self._file}: {error}; announce it "
                f"in a folder, where each server has its own file"
            ) from error

    def _write(self, lines: list[str], *, keep: bool = False) -> None:
        if not lines and not keep:
            self._file.unlink(missing_ok=True)
            return
        draft = self._folder / f".{self._file.name}.{secrets.token_hex(4)}"
        try:
            draft.write_text("".join(f"{line}\n" for line in lines), "utf-8")
            draft.replace(self._file)
        finally:
            draft.unlink(missing_ok=True)


def _without(lines: list[str], line: str) -> list[str]:
    """The lines without one that is equal; the others may be those of other servers."""
    rest = list(lines)
    if line in rest:
        rest.remove(line)
    return rest
