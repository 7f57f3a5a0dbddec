"""Serves one environment, or models, for the life of the process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from typing_extensions import Self

from rlmesh import foreign_text
from rlmesh._cli.failure import LoadError, one_line
from rlmesh._cli.output import Output
from rlmesh._cli.readiness import ReadyFd
from rlmesh._cli.signals import (
    CommandSignals,
    EndedBySignal,
    keep_signals_from_children,
    wait_for_children,
)
from rlmesh._cli.supervisor_socket import SupervisorSocket
from rlmesh.errors import RlmeshError, StateError
from rlmesh.server.endpoint_server import EndpointServer
from rlmesh.server.env_server import EnvServer
from rlmesh.server.model_worker import ModelWorker
from rlmesh.server.server_options import ServerOptions
from rlmesh.server.signals import exit_at_once

# How long the main thread may take to return once the server has shut down; a busy machine is not
# a stuck environment.
_RETURN_SECONDS = 3.0


class Served(Protocol):
    """A server that says when clients are answered.

    Attributes:
        title: What it serves, for people.
        serving: Set from when on health says SERVING.
        address: Where it serves.
        places: That and where else it serves, for people.
    """

    @property
    def title(self) -> str: ...

    @property
    def serving(self) -> threading.Event: ...

    @property
    def address(self) -> str: ...

    @property
    def places(self) -> str: ...

    def serve(self) -> None:
        """Serves until the end."""
        ...

    def shutdown(self) -> None:
        """Ends the server."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the end."""
        ...


class ServedEnv(EnvServer):
    """A server that is made of options; see `Served`."""

    def __init__(self, env: Any, options: ServerOptions) -> None:
        self._bind(env, options)

    @property
    def title(self) -> str:
        """The environment's id."""
        return self.env_contract.id

    @property
    def places(self) -> str:
        """The address, and those for probes and for Prometheus where there are any."""
        return self.address + _besides(self)

    @property
    def serving(self) -> threading.Event:
        """Set from when on health says SERVING."""
        return self._rpc_server.serving


class ServedModels(ModelWorker):
    """A worker that says when it serves; see `Served`."""

    def serve(self) -> None:
        """As `ModelWorker.serve`.

        Raises:
            LoadError: If a model's `warmup` raised.
        """
        try:
            super().serve()
        except RlmeshError:
            raise
        except Exception as error:
            raise LoadError(
                f"warming up failed: {type(error).__name__}: {one_line(error)}"
            ) from error

    @property
    def title(self) -> str:
        """The names of the models."""
        return ", ".join(self.model_contracts)

    @property
    def places(self) -> str:
        """The address, and those for openpi, for probes and for Prometheus where there are any."""
        openpi = self.openpi_address
        also = "" if openpi is None else f" and, for openpi, at {openpi}"
        return self.address + also + _besides(self)

    @property
    def serving(self) -> threading.Event:
        """Set from when on health says SERVING."""
        return self._rpc_server.serving


def _besides(server: EndpointServer) -> str:
    others = {
        "for health probes": server.health_address,
        "for Prometheus": server.metrics_address,
        "for browsers": server.view_url,
    }
    return "".join(
        f" and, {whom}, at {address}" for whom, address in others.items() if address is not None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """What to serve, and how.

    Attributes:
        load: Makes what is served.
        make_server: Makes the server of it; where `makes_envs`, of `load` itself.
        makes_envs: Whether the server calls `load`, for each session or in each worker; also for a
            model.
        ready_fd: Where to write the address once the server serves.
    """

    load: Callable[[], Any]
    make_server: Callable[[Any], Served]
    makes_envs: bool = False
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
    supervisor = SupervisorSocket.take()
    wait_for_children()
    keep_signals_from_children()
    signals = CommandSignals()
    with signals.taken():
        try:
            if request.makes_envs:
                server = signals.unwinding(lambda: request.make_server(request.load))
            else:
                server = _served(signals.unwinding(request.load), request)
        except EndedBySignal:
            return
        signals.end = server.shutdown
        if signals.arrived:
            server.shutdown()
            return
        with _ReadinessThread(server, request, output, supervisor) as readiness:
            try:
                server.serve()
            except StateError:
                # A signal came after binding and before serving.
                if not signals.arrived:
                    raise
                server.shutdown()
        if readiness.failure is not None:
            raise readiness.failure


def _served(made: Any, request: ServeRequest) -> Served:
    try:
        return request.make_server(made)
    except BaseException:
        # A server closes what it serves, and there is none. Why there is none matters more than
        # what close() may raise.
        if callable(close := getattr(made, "close", None)):
            with contextlib.suppress(Exception):
                close()
        raise


class _ReadinessThread:
    """A thread beside the server: says when it serves, and sees to it that the process ends.

    Attributes:
        failure: Why the ready descriptor could not be written; None: it could.
    """

    def __init__(
        self,
        server: Served,
        request: ServeRequest,
        output: Output,
        supervisor: SupervisorSocket | None,
    ) -> None:
        self.failure: OSError | None = None
        self._supervisor = supervisor
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
        title = foreign_text.one_line(self._server.title)
        status = f"{title} is served at {self._server.places}"
        if self._supervisor is not None:
            try:
                self._supervisor.say_ready(status)
            except OSError as error:
                # The variable may be that of a service far above this process: clients come first.
                self._output.complain(f"Warning: {error}.")
        self._output.say(f"{status}; Ctrl-C ends it.")
