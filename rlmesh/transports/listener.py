"""Listeners: where the client of a session connects for a transport other than the stream.

When a session begins, the server sends its client the addresses of the listeners and a secret. A
client that connects to a listener presents the secret; `authenticate(secret)` returns the session
that it belongs to, and the listener attaches a pipe to that session.

The listener of shared memory is a Unix socket in Linux's abstract namespace, under a random name
that only the clients of sessions receive. No file is left behind, and the socket cannot be reached
from another machine or from a container with its own network. Only the same user is accepted. The
client receives a segment, and keeps the socket as doorbell and lifeline. The listener of the direct
transport is a TCP port; the connection itself is the transport.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

from rlmesh.transports.pipe import Pipe
from rlmesh.transports.shm.lending import LendableShmPipe
from rlmesh.transports.shm.pipe import SegmentLayout, ShmPipe
from rlmesh.transports.shm.segment import BadSegmentError, create_segment
from rlmesh.transports.tcp.lending import LendableTcpPipe
from rlmesh.transports.tcp.pipe import TcpPipe
from rlmesh.transports.tcp.silence import end_when_silent
from rlmesh.transports.tcp.tls_socket import TlsSocket, secured
from rlmesh.transports.tls import ServerIdentity

_log = logging.getLogger("rlmesh.transports")

SUPPORTED = sys.platform == "linux"
SECRET_BYTES = 32


class PipeOwner(Protocol):
    """A session, as a listener sees it."""

    def attach(self, pipe: Pipe, transport: str, process: int) -> None:
        """Takes over the pipe of a client that has presented the session's secret.

        Called on a listener's thread. The pipe belongs to the session from here on, also where it
        raises.

        Args:
            pipe: The server's end.
            transport: The transport's name.
            process: The client's process id; 0 where the system does not report it.
        """
        ...


Authenticate: TypeAlias = Callable[[bytes], PipeOwner | None]
"""Takes the secret that a client presents; returns its session, or None where there is none."""

Secure: TypeAlias = Callable[[socket.socket], ssl.SSLSocket]
"""Encrypts a connection; the result owns it from then on."""

# How long either side waits for the other's half of the greeting.
GREETING_SECONDS = 1.0
# A timeout of 0 would mean not to wait at all.
_SHORTEST_SECONDS = 0.001
# Peers that are greeted at the same time; further ones are closed at once, and use the stream.
_MAX_GREETINGS = 16
# How long a listener waits after the system has failed to accept a connection.
_RETRY_SECONDS = 0.1
_PLAN = struct.Struct("<QQ")
_CREDENTIALS = struct.Struct("3i")
_WELCOME = b"\1"


class Listener:
    """Accepts connections and greets each on its own thread, so that a silent peer delays nobody.

    Args:
        listener: The listening socket. The listener owns it.
        welcome: Greets a peer that has connected; closes the socket, or passes it on.
        waits: Whether a peer that comes while too many are greeted waits for its turn. Else it is
            closed at once.
    """

    def __init__(
        self,
        listener: socket.socket,
        welcome: Callable[[socket.socket], None],
        *,
        waits: bool = False,
    ) -> None:
        self._socket = listener
        self._welcome = welcome
        self._waits = waits
        self._closed = threading.Event()
        self._greetings = threading.BoundedSemaphore(_MAX_GREETINGS)
        self._thread = threading.Thread(target=self._accept, name="rlmesh-listener", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # The system allows no further thread.
            self._socket.close()
            raise

    def close(self) -> None:
        """Accepts no further connections. Pipes that are attached go on."""
        self._closed.set()
        with contextlib.suppress(OSError):
            # Closing alone would not wake the thread that waits in accept.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError as error:
                if self._closed.wait(_RETRY_SECONDS):
                    return
                # No descriptor was free, or the peer has left: the next one may succeed.
                _log.debug("a connection could not be accepted: %s", error)
                continue
            if not self._take_turn():
                peer.close()
                continue
            try:
                threading.Thread(
                    target=self._greet, args=(peer,), name="rlmesh-greeting", daemon=True
                ).start()
            except RuntimeError:
                peer.close()
                self._greetings.release()

    def _take_turn(self) -> bool:
        """Whether one more peer may be greeted now."""
        while not self._greetings.acquire(timeout=_RETRY_SECONDS if self._waits else 0):
            if not self._waits or self._closed.is_set():
                return False
        return True

    def _greet(self, peer: socket.socket) -> None:
        try:
            peer.settimeout(GREETING_SECONDS)
            self._welcome(peer)
        except (OSError, BadSegmentError) as error:
            _log.debug("a greeting failed: %s", error)
            peer.close()
        finally:
            self._greetings.release()


def open_shm_listener(
    plan: SegmentLayout, authenticate: Authenticate, *, lendable: bool = False
) -> tuple[str, Listener]:
    """Opens a listener of shared memory.

    Args:
        plan: How segments are divided.
        authenticate: Finds the session that a secret belongs to.
        lendable: Whether the pipes may be lent to other processes.

    Returns:
        The socket's name in the abstract namespace, and the listener.

    Raises:
        OSError: If the system refuses the socket.
    """
    name = f"rlmesh-{secrets.token_hex(16)}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f"\0{name}")
        listener.listen()
    except BaseException:
        listener.close()
        raise

    def welcome(peer: socket.socket) -> None:
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, _ = _CREDENTIALS.unpack(credentials)
        session = authenticate(_receive_secret(peer)) if user == os.geteuid() else None
        if session is None:
            peer.close()
            return
        descriptor = create_segment(plan.size)
        try:
            socket.send_fds(peer, [_PLAN.pack(plan.request, plan.answer)], [descriptor])
        except OSError:
            os.close(descriptor)
            raise
        peer.settimeout(None)
        pipe = (
            LendableShmPipe(peer, descriptor, plan)
            if lendable
            else ShmPipe(peer, descriptor, plan, client=False)
        )
        session.attach(pipe, "shm", process)

    return name, Listener(listener, welcome)


def open_direct_listener(
    listener: socket.socket,
    authenticate: Authenticate,
    identity: ServerIdentity | None = None,
    *,
    lendable: bool = False,
) -> Listener:
    """Opens a listener of the direct transport.

    Args:
        listener: The TCP port. The listener owns it.
        authenticate: Finds the session that a secret belongs to.
        identity: The server's certificate for TLS; None: the connection is not encrypted.
        lendable: Whether the pipes may be lent to other processes, where they are not encrypted.
    """

    def welcome(peer: socket.socket) -> None:
        session = authenticate(_receive_secret(peer))
        if session is None:
            peer.close()
            return
        peer.sendall(_WELCOME)
        session.attach(LendableTcpPipe(peer) if lendable else TcpPipe(peer), "direct", 0)

    def welcome_secured(peer: socket.socket, identity: ServerIdentity) -> None:
        with contextlib.ExitStack() as undo:
            encrypted = undo.enter_context(secured(peer, identity.context()))
            # A client sends its secret as one record.
            session = authenticate(encrypted.recv(SECRET_BYTES))
            if session is None:
                return
            encrypted.sendall(_WELCOME)
            undo.pop_all()
            session.attach(TcpPipe(TlsSocket(encrypted)), "direct", 0)

    if identity is not None:
        return Listener(listener, lambda peer: welcome_secured(peer, identity))

    return Listener(listener, welcome)


def _receive_secret(peer: socket.socket) -> bytes:
    return peer.recv(SECRET_BYTES, socket.MSG_WAITALL)


def enter_memory(name: str, secret: bytes, seconds: float = GREETING_SECONDS) -> ShmPipe | None:
    """Connects to a listener of shared memory.

    Args:
        name: The listener's name in the abstract namespace.
        secret: The session's secret.
        seconds: How long each step of connecting may take.

    Returns:
        The client's end of a pipe, or None where the listener cannot be reached or refuses: on
        another machine, in a container with its own network, for another user.
    """
    if not SUPPORTED:
        return None
    with contextlib.ExitStack() as undo:
        try:
            sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            sock.settimeout(seconds)
            sock.connect(f"\0{name}")
            sock.sendall(secret)
            words, descriptors, _, _ = socket.recv_fds(sock, _PLAN.size, 1)
        except OSError:
            return None
        if len(words) != _PLAN.size or len(descriptors) != 1:
            for descriptor in descriptors:
                os.close(descriptor)
            return None
        sock.settimeout(None)
        try:
            pipe = ShmPipe(sock, descriptors[0], SegmentLayout(*_PLAN.unpack(words)), client=True)
        except BadSegmentError:
            return None
        undo.pop_all()
        return pipe


def enter_direct(
    host: str,
    port: int,
    secret: bytes,
    *,
    head: int = 0,
    secure: Secure | None = None,
    seconds: float = GREETING_SECONDS,
    silent_seconds: float | None = None,
) -> TcpPipe | None:
    """Connects to a listener of the direct transport.

    Args:
        host: The listener's host.
        port: Its TCP port.
        secret: The session's secret.
        head: How many bytes of most answers stand before their slab.
        secure: Encrypts the connection before the secret is sent; None: nothing is encrypted.
        seconds: How long connecting may take, name lookup excepted.
        silent_seconds: After how long without a word from the other machine the pipe ends. None:
            it does not.

    Returns:
        The client's end of a pipe, or None where the listener cannot be reached or refuses.
    """
    with contextlib.ExitStack() as undo:
        try:
            deadline = time.monotonic() + seconds
            sock = undo.enter_context(socket.create_connection((host, port), seconds))
            if silent_seconds is not None:
                end_when_silent(sock, silent_seconds)
            sock.settimeout(max(_SHORTEST_SECONDS, deadline - time.monotonic()))
            if secure is not None:
                sock = undo.enter_context(secure(sock))
                sock.settimeout(max(_SHORTEST_SECONDS, deadline - time.monotonic()))
            sock.sendall(secret)
            if sock.recv(1) != _WELCOME:
                return None
        except OSError:
            return None
        undo.pop_all()
        return TcpPipe(TlsSocket(sock) if isinstance(sock, ssl.SSLSocket) else sock, head=head)
