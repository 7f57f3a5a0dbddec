"""Both ends of a transport in one process, for tests of what crosses and what may not."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import trustme

from rlmesh.envs.frames import frame_of
from rlmesh.security import ClientTLS, ServerTLS
from rlmesh.transports.pipe import Pipe
from rlmesh.transports.shm.pipe import SegmentLayout, ShmPipe
from rlmesh.transports.shm.segment import create_segment
from rlmesh.transports.tcp.pipe import TcpPipe
from rlmesh.transports.tcp.tls_socket import TlsSocket, secured
from rlmesh.transports.tls import ServerIdentity, read_client_identity

SOON = 20.0
PLAN = SegmentLayout.for_slabs(8, 16)

AnyPipe = TypeVar("AnyPipe", bound=Pipe)


@dataclass(frozen=True)
class Ends(Generic[AnyPipe]):
    """The two ends of a transport.

    Attributes:
        client: The client's pipe.
        server: The server's.
        called: A descriptor that ends the server's waits when it is written to.
    """

    client: AnyPipe
    server: AnyPipe
    called: int


def soon() -> float:
    """A deadline that is only there so that a defect does not hang the tests."""
    return time.monotonic() + SOON


def message(pipe: Pipe, deadline: float | None = None) -> bytes:
    """The next message that a pipe receives."""
    received = pipe.receive(soon() if deadline is None else deadline)
    assert isinstance(received, tuple), received
    buffer, start, end = received
    return bytes(buffer[start:end])


@contextlib.contextmanager
def shm_ends(plan: SegmentLayout = PLAN) -> Generator[Ends[ShmPipe]]:
    """The two ends of a transport of shared memory."""
    ours, theirs = socket.socketpair()
    descriptor = create_segment(plan.size)
    client = ShmPipe(ours, os.dup(descriptor), plan, client=True)
    with _watched(client, lambda: ShmPipe(theirs, descriptor, plan, client=False)) as ends:
        yield ends


@contextlib.contextmanager
def socket_ends() -> Generator[Ends[TcpPipe]]:
    """The two ends of a TCP connection."""
    ours, theirs = tcp_pair()
    with _watched(TcpPipe(ours), lambda: TcpPipe(theirs)) as ends:
        yield ends


@contextlib.contextmanager
def tls_ends() -> Generator[Ends[TcpPipe]]:
    """The two ends of a TCP connection that is encrypted."""
    ours, theirs = tls_pair()
    with _watched(TcpPipe(TlsSocket(ours)), lambda: TcpPipe(TlsSocket(theirs))) as ends:
        yield ends


@contextlib.contextmanager
def _watched(client: AnyPipe, answering: Callable[[], AnyPipe]) -> Generator[Ends[AnyPipe]]:
    with _called() as called:
        server = answering()
        server.watch(called)
        try:
            yield Ends(client, server, called)
        finally:
            client.release()
            server.release()


def tls_pair() -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """Two ends of an encrypted connection, after the handshake."""
    ours, theirs = tcp_pair()
    asking, answering = _contexts()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(secured, theirs, answering)
        return secured(ours, asking, server_name="localhost"), answer.result(SOON)


@functools.cache
def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        issued = authority.issue_cert("localhost")
        paths = [f"{folder}/{name}" for name in ("ca.pem", "server.pem", "server.key")]
        for path, blob in zip(
            paths,
            (authority.cert_pem, issued.cert_chain_pems[0], issued.private_key_pem),
            strict=True,
        ):
            blob.write_to_path(path)
        server = ServerIdentity(ServerTLS(certificate=paths[1], key=paths[2]))
        return read_client_identity(ClientTLS(ca=paths[0])).context, server.context()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection over the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    return ours, theirs


@contextlib.contextmanager
def _called() -> Generator[int]:
    called = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        yield called
    finally:
        os.close(called)


ENDS: dict[str, Callable[[], contextlib.AbstractContextManager[Ends[Pipe]]]] = {
    "shm": shm_ends,  # type: ignore[dict-item] # ends are only read, so a narrower pipe will do
    "direct": socket_ends,  # type: ignore[dict-item] # the same
    "direct with TLS": tls_ends,  # type: ignore[dict-item] # the same
}


def wait_until_asleep(thread: threading.Thread, name: str) -> None:
    """Returns as soon as a thread sleeps in a function of that name.

    Args:
        thread: A thread of this process that has been started.
        name: The function, which is written in Python.
    """
    state = Path(f"/proc/self/task/{thread.native_id}/stat")
    deadline = soon()
    while time.monotonic() < deadline:
        wait_until_in(thread, name)
        if state.read_text().rpartition(")")[2].split()[0] == "S":
            return
        os.sched_yield()
    raise AssertionError(f"{thread.name} never slept in {name}")


def wait_until_in(thread: threading.Thread, name: str) -> None:
    """Returns as soon as a thread is in a function of that name; arguments as above."""
    deadline = soon()
    while time.monotonic() < deadline:
        frame = frame_of(thread.ident or 0)
        # It may be in what that function calls.
        while frame is not None:
            if frame.f_code.co_name == name:
                return
            frame = frame.f_back
        os.sched_yield()
    raise AssertionError(f"{thread.name} was never in {name}")


def descriptors() -> dict[int, str]:
    """The open descriptors of this process and what they are."""
    found: dict[int, str] = {}
    for entry in os.listdir("/proc/self/fd"):
        # The one that lists them is closed by now.
        with contextlib.suppress(FileNotFoundError):
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
    return found


def opened_since(before: dict[int, str]) -> dict[int, str]:
    """The descriptors that were not there before; gRPC may still be closing some that were."""
    return dict(descriptors().items() - before.items())
