"""Two processes that block on a socket and throw the same bytes to and fro."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Generator

from benchmarks.contenders.driven import Driven
from benchmarks.contenders.sizes import REQUEST_BYTES
from benchmarks.peer import Announce, peer
from benchmarks.workloads import WORKLOADS, Workload


@contextlib.contextmanager
def unix(workload: Workload) -> Generator[Driven]:
    """Over a Unix socket."""
    with (
        tempfile.TemporaryDirectory(prefix="bench") as folder,
        peer(serve, workload.key, f"{folder}/socket") as path,
        socket.socket(socket.AF_UNIX) as sock,
    ):
        sock.connect(path)
        yield _driven(sock, workload)


@contextlib.contextmanager
def tcp(workload: Workload) -> Generator[Driven]:
    """Over TCP on the loopback."""
    with peer(serve, workload.key) as port, socket.socket() as sock:
        sock.connect(("127.0.0.1", int(port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield _driven(sock, workload)


def _driven(sock: socket.socket, workload: Workload) -> Driven:
    request = b"x" * REQUEST_BYTES
    size = workload.answer_bytes()
    answer = bytearray(size)

    def step() -> bool:
        sock.sendall(request)
        if sock.recv_into(answer, size, socket.MSG_WAITALL) != size:
            raise ConnectionError("the peer of a socket has ended")
        return False

    return Driven(step, lambda: None)


def serve(announce: Announce, workload: str, path: str = "") -> None:
    """The other process."""
    answer = b"x" * WORKLOADS[workload].answer_bytes()
    request = bytearray(REQUEST_BYTES)
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as listener:
        listener.bind(path or ("127.0.0.1", 0))
        listener.listen()
        announce(path or str(listener.getsockname()[1]))
        sock, _ = listener.accept()
    with sock:
        if not path:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while sock.recv_into(request, REQUEST_BYTES, socket.MSG_WAITALL):
            sock.sendall(answer)
