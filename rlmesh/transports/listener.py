"""Listeners: where a session's client and its server meet for a transport of their own.

A server tells a session's client where its listeners are, and a secret. Whoever comes in shows the
secret of a session, and is given that session's pipe.

The listener of shared memory is a Unix socket in Linux's abstract namespace, under a name that only
sessions' clients are told: there is no file to be left behind, and no way in from another machine
or from a container with a network of its own. Only the same user may come in; he is given a
segment, and keeps the socket as doorbell and lifeline. The listener of the direct transport is a
TCP port; the connection itself is the transport.
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
from collections.abc import Callable
from typing import TypeAlias

from rlmesh.transports.pipe import Pipe
from rlmesh.transports.shm.pipe import SegmentLayout, ShmPipe
from rlmesh.transports.shm.segment import BadSegmentError, create_segment
from rlmesh.transports.tcp.pipe import TcpPipe
from rlmesh.transports.tcp.tls_socket import TlsSocket, secured
from rlmesh.transports.tls import ServerIdentity

_log = logging.getLogger("rlmesh.transports")

SUPPORTED = sys.platform == "linux"
SECRET_BYTES = 32

MakePipe: TypeAlias = Callable[[int], Pipe]
"""Makes a session's pipe, given a descriptor whose readability ends its waits as well."""

Attach: TypeAlias = Callable[[MakePipe, str, int], None]
"""Takes what makes a session's pipe, the transport's name, and the client's process id: 0
where the system does not tell it."""

Admit: TypeAlias = Callable[[bytes], Attach | None]
"""Takes the secret that was shown; gives what takes the pipe, or None for a stranger."""

Secure: TypeAlias = Callable[[socket.socket], ssl.SSLSocket]
"""Encrypts a connection, which is the result's from then on."""

# How long either side waits for the other's half of the greeting.
_GREETING_SECONDS = 1.0
# Guests that are greeted at the same time; more are turned away, and use the stream.
_MAX_GUESTS = 16
# How long a listener waits after a guest whom the system would not let in.
_RETRY_SECONDS = 0.1
_PLAN = struct.Struct("<QQ")
_CREDENTIALS = struct.Struct("3i")
_WELCOME = b"\1"


class Listener:
    """Lets guests in, each on a thread of his own: one who says nothing keeps nobody else waiting.

    Args:
        listener: Where guests come. The listener owns it.
        welcome: Greets a guest who has connected; closes the socket, or gives it away.
    """

    def __init__(self, listener: socket.socket, welcome: Callable[[socket.socket], None]) -> None:
        self._socket = listener
        self._welcome = welcome
        self._closed = threading.Event()
        self._admission = threading.BoundedSemaphore(_MAX_GUESTS)
        self._thread = threading.Thread(target=self._watch, name="rlmesh-listener", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # There can be no further thread.
            self._socket.close()
            raise

    def close(self) -> None:
        """Lets nobody in any more. Ports that were given out live on."""
        self._closed.set()
        with contextlib.suppress(OSError):
            # Closing alone would not wake the thread that waits in accept.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _watch(self) -> None:
        while True:
            try:
                guest, _ = self._socket.accept()
            except OSError as error:
                if self._closed.wait(_RETRY_SECONDS):
                    return
                # There was no descriptor for him, or he has left: the next may have more luck.
                _log.debug("a guest could not be let in: %s", error)
                continue
            if not self._admission.acquire(blocking=False):
                guest.close()
                continue
            try:
                threading.Thread(
                    target=self._greet, args=(guest,), name="rlmesh-greeting", daemon=True
                ).start()
            except RuntimeError:
                guest.close()
                self._admission.release()

    def _greet(self, guest: socket.socket) -> None:
        try:
            guest.settimeout(_GREETING_SECONDS)
            self._welcome(guest)
        except OSError as error:
            _log.debug("a guest left in the middle of the greeting: %s", error)
            guest.close()
        finally:
            self._admission.release()


def open_shm_listener(plan: SegmentLayout, admit: Admit) -> tuple[str, Listener]:
    """Opens a listener of shared memory.

    Args:
        plan: How segments are divided.
        admit: Who may come in.

    Returns:
        The socket's name in the abstract namespace, and the listener.
    """
    name = f"rlmesh-{secrets.token_hex(16)}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"\0{name}")
    listener.listen()

    def welcome(guest: socket.socket) -> None:
        credentials = guest.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, _ = _CREDENTIALS.unpack(credentials)
        attach = admit(_shown(guest)) if user == os.geteuid() else None
        if attach is None:
            guest.close()
            return
        descriptor = create_segment(plan.size)
        try:
            socket.send_fds(guest, [_PLAN.pack(plan.request, plan.answer)], [descriptor])
        except OSError:
            os.close(descriptor)
            raise
        guest.settimeout(None)
        attach(
            lambda wake_fd: ShmPipe(guest, descriptor, plan, client=False, wake_fd=wake_fd),
            "shm",
            process,
        )

    return name, Listener(listener, welcome)


def open_direct_listener(
    listener: socket.socket, admit: Admit, identity: ServerIdentity | None = None
) -> Listener:
    """Opens a listener of the direct transport.

    Args:
        listener: The TCP port. The listener owns it.
        admit: Who may come in.
        identity: What the server identifies itself with; None: what crosses is not encrypted.
    """

    def welcome(guest: socket.socket) -> None:
        attach = admit(_shown(guest))
        if attach is None:
            guest.close()
            return
        guest.sendall(_WELCOME)
        attach(lambda wake_fd: TcpPipe(guest, wake_fd=wake_fd), "direct", 0)

    def welcome_secured(guest: socket.socket, identity: ServerIdentity) -> None:
        with contextlib.ExitStack() as undo:
            conversation = undo.enter_context(secured(guest, identity.context()))
            # A single record, or the guest is a stranger.
            attach = admit(conversation.recv(SECRET_BYTES))
            if attach is None:
                return
            conversation.sendall(_WELCOME)
            undo.pop_all()
            attach(lambda wake_fd: TcpPipe(TlsSocket(conversation), wake_fd=wake_fd), "direct", 0)

    if identity is not None:
        return Listener(listener, lambda guest: welcome_secured(guest, identity))

    return Listener(listener, welcome)


def _shown(guest: socket.socket) -> bytes:
    return guest.recv(SECRET_BYTES, socket.MSG_WAITALL)


def enter_memory(name: str, secret: bytes) -> ShmPipe | None:
    """The client's side of a listener of shared memory: a pipe of the session with that secret.

    Returns:
        The pipe, or None where the listener cannot be reached or does not open: on another machine,
        in a container with a network of its own, for another user.
    """
    if not SUPPORTED:
        return None
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            sock.settimeout(_GREETING_SECONDS)
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
    wake_fd: int | None = None,
) -> TcpPipe | None:
    """Connects to a listener of the direct transport: a pipe of the session with that secret.

    Args:
        host: Where the listener is.
        port: Its TCP port.
        secret: The session's secret.
        head: How many bytes of most answers stand before their slab.
        secure: Encrypts the connection, before the secret is shown; None: nothing is encrypted.
        wake_fd: A descriptor whose readability ends the pipe's waits as well; None: there is none.

    Returns:
        The pipe, or None where the listener cannot be reached or does not open.
    """
    with contextlib.ExitStack() as undo:
        try:
            sock = undo.enter_context(socket.create_connection((host, port), _GREETING_SECONDS))
            if secure is not None:
                sock = undo.enter_context(secure(sock))
            sock.sendall(secret)
            if sock.recv(1) != _WELCOME:
                return None
        except OSError:
            return None
        undo.pop_all()
        return TcpPipe(
            TlsSocket(sock) if isinstance(sock, ssl.SSLSocket) else sock, wake_fd=wake_fd, head=head
        )
