"""The file of a Unix socket: one server has it, and only its user may connect."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Generator

from rlmesh.address import MAX_PATH_BYTES, Address, UnixAddress
from rlmesh.errors import AddressInUseError, InvalidAddressError

# For how long another server may be about to bind in the same folder.
_LOCK_SECONDS = 5.0
_LOOK_SECONDS = 0.02

FileId = tuple[int, int]
"""Which file stands at a path: its device and its number there."""


@contextlib.contextmanager
def socket_file(address: UnixAddress) -> Generator[str]:
    """Gives a path to bind; when the block ends, what is bound there stands at the address.

    The path is in a new folder with mode 0700, so the socket is never open to others, and the mask
    of the process stays as it is. It comes to its place in one step, as a hard link, which replaces
    nothing; and a stale socket is removed under a lock, so that of two servers one has the address.

    Raises:
        AddressInUseError: If a live server listens there.
        InvalidAddressError: If a socket cannot stand there.
    """
    folder = os.path.dirname(address.path)
    if not os.path.isdir(folder):
        raise InvalidAddressError(
            f"{address} cannot be bound: the folder {folder} does not exist; make it first"
        )
    with _locked(address, folder), contextlib.ExitStack() as undo:
        _free_path(address)
        try:
            private = tempfile.mkdtemp(prefix=".rlmesh-", dir=folder)
        except OSError as error:
            raise InvalidAddressError(
                f"{address} cannot be bound: nothing can be made in {folder} ({error.strerror})"
            ) from error
        undo.callback(shutil.rmtree, private)
        name = os.path.basename(private)
        path = os.path.join(private, name)
        with _short(path, address) as short:
            yield short
        os.chmod(path, 0o600)
        try:
            os.link(path, address.path)
        except FileExistsError:
            raise AddressInUseError(
                f"{address} is in use: another program has just made {address.path}; choose "
                f"another path"
            ) from None
        except OSError:
            # A file system without hard links.
            os.rename(path, address.path)


def file_at(address: Address) -> FileId | None:
    """Which file stands at an address; None: none, or it is no Unix socket's address."""
    if isinstance(address, UnixAddress):
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(address.path)
            return found.st_dev, found.st_ino
    return None


def remove_file(address: Address, file: FileId | None) -> None:
    """Removes a socket file, unless another file has taken its place."""
    if isinstance(address, UnixAddress) and file is not None and file_at(address) == file:
        os.unlink(address.path)


@contextlib.contextmanager
def _locked(address: UnixAddress, folder: str) -> Generator[None]:
    """Keeps other servers of RLMesh from looking for stale sockets in the folder meanwhile."""
    with contextlib.ExitStack() as undo:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:
            # A folder that cannot be listed. The link still replaces nothing.
            yield
            return
        undo.callback(os.close, descriptor)
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise InvalidAddressError(
                        f"{address} cannot be bound: another program has kept the folder {folder} "
                        f"locked for {_LOCK_SECONDS:g} s; choose another folder"
                    ) from None
                time.sleep(_LOOK_SECONDS)
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.EBADF):
                    raise
                # A file system without locks. The link still replaces nothing.
                break
        yield


@contextlib.contextmanager
def _short(path: str, address: UnixAddress) -> Generator[str]:
    """A path to the same place that is short enough for a socket."""
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        yield path
        return
    folder, name = os.path.split(path)
    if not os.path.isdir("/proc/self/fd"):
        raise InvalidAddressError(
            f"{address} cannot be bound: the path of its folder is too long for a socket; choose a "
            f"shorter one"
        )
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def _free_path(address: UnixAddress) -> None:
    """Removes a stale socket file; refuses a live one, and leaves any other file alone."""
    path = address.path
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidAddressError(f"{address} cannot be bound: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise InvalidAddressError(
            f"{address} cannot be bound: {path} is there and no socket, so it is left alone; "
            f"choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            raise InvalidAddressError(
                f"{address} cannot be bound: its socket file does not answer ({error}); remove "
                f"{path} if nobody uses it"
            ) from error
    raise AddressInUseError(
        f"{address} is in use: a live server listens on {path}; end it or choose another path"
    )
