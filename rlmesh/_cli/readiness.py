"""Writes the address of a server to a file descriptor that its starter has opened."""

from __future__ import annotations

import fcntl
import os
import threading

__all__ = ["ReadyFd", "UnusableFdError", "write_ready_fd"]


class UnusableFdError(ValueError):
    """A number that is no descriptor to write on."""


def write_ready_fd(fd: int, address: str) -> None:
    r"""Writes one line, the address, on a descriptor, and closes it.

    The reader gets `tcp://127.0.0.1:5555\n` and then the end of the file.

    Args:
        fd: An open descriptor of a pipe, a FIFO, a file or a socket; it is closed in any case.
        address: The resolved address.

    Raises:
        OSError: If it cannot be written on, for instance because the reader is gone.
    """
    try:
        line = memoryview(f"{address}\n".encode())
        while line:
            line = line[os.write(fd, line) :]
    finally:
        os.close(fd)


class ReadyFd:
    """A descriptor that this process was given, kept from every process that it makes.

    A reader sees the end of the file only when no process holds the other end any more. So a
    process that is made by `exec` does not inherit the descriptor, and one that is made by a bare
    `fork`, a worker of an `AsyncVectorEnv` for instance, closes it at once.

    Args:
        fd: The descriptor's number.

    Raises:
        UnusableFdError: If it is a standard stream, not open, or not open for writing.
    """

    def __init__(self, fd: int) -> None:
        _check(fd)
        os.set_inheritable(fd, False)
        self._fd: int | None = fd
        # A fork must not fall between the line and the closing.
        self._lock = threading.Lock()
        os.register_at_fork(
            before=self._lock.acquire,
            after_in_parent=self._lock.release,
            after_in_child=self._close_in_child,
        )

    def write(self, address: str) -> None:
        """Writes the address and closes the descriptor; once.

        Raises:
            OSError: If it cannot be written on, for instance because the reader is gone.
        """
        with self._lock:
            if self._fd is not None:
                fd, self._fd = self._fd, None
                write_ready_fd(fd, address)

    def _close_in_child(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._lock.release()


def _check(fd: int) -> None:
    if 0 <= fd <= 2:
        raise UnusableFdError(
            f"{fd} is a standard stream, which the server needs itself; open another one, as in "
            f"3>ready.txt, and give its number"
        )
    try:
        mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, OverflowError, ValueError) as error:
        raise UnusableFdError(
            f"{fd} is not open in this process; the program that starts the server opens it and "
            f"passes it on, as in 3>ready.txt in a shell or pass_fds= in Python"
        ) from error
    if mode == os.O_RDONLY:
        raise UnusableFdError(f"{fd} is open for reading only; open it for writing")
