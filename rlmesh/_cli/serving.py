"""Serves one environment for the life of the process."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

from rlmesh._cli.loading import EnvRequest, load
from rlmesh._cli.output import Output
from rlmesh._cli.readiness import ReadyFd
from rlmesh._cli.signals import (
    CommandSignals,
    EndedBySignal,
    keep_signals_from_children,
    wait_for_children,
)
from rlmesh.errors import StateError
from rlmesh.foreign_text import one_line
from rlmesh.server.env_server import EnvServer
from rlmesh.server.server_options import ServerOptions
from rlmesh.server.signals import exit_at_once

# How long the main thread may take to return once the server has shut down; a busy machine is not
# a stuck environment.
_RETURN_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """What to serve, and how.

    Attributes:
        env: The environment.
        options: What the server is given besides the environment.
        ready_fd: Where to write the address once the server serves.
    """

    env: EnvRequest
    options: ServerOptions
    ready_fd: ReadyFd | None = None


def serve(request: ServeRequest, output: Output) -> None:
    """Makes the environment and serves it until a signal, a client or idleness ends the server.

    Args:
        request: What to serve, and how.
        output: Where to say that it is served.

    Raises:
        LoadError: If the environment could not be made.
        RlmeshError: If it cannot be served, or not at that address.
        OSError: If the ready descriptor could not be written.
    """
    wait_for_children()
    keep_signals_from_children()
    signals = CommandSignals()
    with signals.taken():
        try:
            if request.options.sessions is None and request.options.isolation is None:
                server = _served(signals.unwinding(lambda: load(request.env)), request)
            else:
                server = signals.unwinding(
                    lambda: _Server(partial(load, request.env), request.options)
                )
        except EndedBySignal:
            return
        signals.end = server.shutdown
        if signals.arrived:
            server.shutdown()
            return
        with _ReadinessThread(server, request, output) as readiness:
            try:
                server.serve()
            except StateError:
                # A signal came after binding and before serving.
                if not signals.arrived:
                    raise
                server.shutdown()
        if readiness.failure is not None:
            raise readiness.failure


class _Server(EnvServer):
    """A server that is made of options, and says when clients are answered."""

    def __init__(self, env: Any, options: ServerOptions) -> None:
        self._bind(env, options)

    @property
    def serving(self) -> threading.Event:
        """Set from when on health says SERVING."""
        return self._rpc_server.serving


def _served(env: Any, request: ServeRequest) -> _Server:
    try:
        return _Server(env, request.options)
    except BaseException:
        # A server closes its environment, and there is none. Why there is none matters more than
        # what close() may raise.
        if callable(close := getattr(env, "close", None)):
            with contextlib.suppress(Exception):
                close()
        raise


class _ReadinessThread:
    """A thread beside the server: says when it serves, and sees to it that the process ends.

    Attributes:
        failure: Why the ready descriptor could not be written; None: it could.
    """

    def __init__(self, server: _Server, request: ServeRequest, output: Output) -> None:
        self.failure: OSError | None = None
        self._server = server
        self._request = request
        self._output = output
        self._returned = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rlmesh-readiness", daemon=True)

    def __enter__(self) -> Self:
        """Begins to watch the server."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops watching: the server has returned."""
        self._returned.set()
        # It may have ended before it served.
        self._server.serving.set()
        self._thread.join(_RETURN_SECONDS)

    def _run(self) -> None:
        self._server.serving.wait()
        if self._returned.is_set():
            return
        try:
            self._announce()
        except OSError as error:
            self.failure = error
            self._server.shutdown()
        self._server.wait()
        if not self._returned.wait(_RETURN_SECONDS):
            # The environment's thread, the main one, is stuck in a call.
            self._output.complain("Error: the environment did not return, and was not closed.")
            self._output.flush()
            exit_at_once(1)

    def _announce(self) -> None:
        address = self._server.address
        if self._request.ready_fd is not None:
            try:
                self._request.ready_fd.write(address)
            except OSError as error:
                raise OSError(
                    f"the address could not be written on the ready descriptor: {error.strerror}; "
                    f"its reader must stay until it has read the line"
                ) from error
        self._output.say(
            f"{one_line(self._server.env_contract.id)} is served at {address}; Ctrl-C ends it."
        )
