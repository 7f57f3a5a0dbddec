"""Shows the server in a browser: a page at its own port, which a process of its own answers."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import replace

from rlmesh.address import MAX_PATH_BYTES, TcpAddress, UnixAddress
from rlmesh.errors import StateError
from rlmesh.processes.spawn import launch_beside
from rlmesh.security import Token
from rlmesh.server.rpc.binding import listen

_log = logging.getLogger("rlmesh.server")

_NEEDS = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "websockets": "websockets",
    "PIL": "pillow",
}
# How long the process may take to end by itself.
_ENDING_SECONDS = 5.0


def check_installed() -> None:
    """Refuses a view where what it needs is not installed.

    Raises:
        StateError: If something is missing.
    """
    missing = [name for module, name in _NEEDS.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise StateError(
            f"view= needs {', '.join(missing)}, which is not installed; run `pip install "
            f"'rlmesh[view]'`"
        )


class ViewProcess:
    """The process that answers browsers; see `OtherListener`.

    Images are packed there, and not in the process of the environment. It asks this server as every
    client does, at a Unix socket that only this user reaches: where the server's own address needs
    TLS, it needs no certificate.

    Args:
        address: Where browsers are answered.
        token: What a browser must show; the same as at the server. None: nothing.

    Attributes:
        address: Where it is bound, port 0 resolved.
        private: Where the server is to answer the process.

    Raises:
        AddressInUseError: If another program listens there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """

    def __init__(self, address: TcpAddress, token: Token | None) -> None:
        self._socket = listen(address)
        self._token = token
        self._folder = _private_folder()
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = False
        self.address: TcpAddress = replace(address, port=self._socket.getsockname()[1])
        self.private: UnixAddress = UnixAddress(os.path.join(self._folder, "s"))
        self.label: str = ""

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        return f"http://{str(self.address).removeprefix('tcp://')}/"

    def open(self) -> None:
        """Starts the process.

        Raises:
            OSError: If the system starts no further process.
            RuntimeError: If it allows no further thread.
        """
        process = launch_beside("rlmesh.view.process", self._socket.fileno())
        self._process = process
        # The process has its own.
        self._socket.close()
        token = None if self._token is None else self._token.header.partition(" ")[2]
        order = {"address": str(self.private), "label": self.label, "token": token}
        if process.stdin is not None:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        threading.Thread(
            target=self._report_end, args=(process,), name="rlmesh-view-process", daemon=True
        ).start()

    def close(self) -> None:
        """Ends the process, and frees the port. May be called repeatedly."""
        self._closing = True
        self._socket.close()
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(_ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _report_end(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        if not self._closing:
            _log.error(
                "the view at %s has ended with the exit code %d; the server goes on without it",
                self.url,
                code,
            )


def _private_folder() -> str:
    """A folder of this user alone, whose path is short enough for a socket."""
    folder = tempfile.mkdtemp(prefix="rlmesh-view-")
    if len(os.fsencode(folder)) + 2 <= MAX_PATH_BYTES:
        return folder
    os.rmdir(folder)
    return tempfile.mkdtemp(prefix="rlmesh-view-", dir="/tmp")
