"""A server at an address, whatever it serves: it begins, answers, waits and ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from typing_extensions import Self

from rlmesh.address import TcpAddress
from rlmesh.errors import StateError
from rlmesh.seconds import check_seconds
from rlmesh.server.lifecycle import Lifecycle, OwnedProvider, State
from rlmesh.server.options import ServeOptions
from rlmesh.server.rpc.listeners import Listeners, OtherListener
from rlmesh.server.rpc.options import EndpointOptions
from rlmesh.server.rpc.server import RpcServer
from rlmesh.server.rpc.service import EndpointService
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.server.signals import SignalListener
from rlmesh.server.view_process import ViewProcess
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh.transports.system_resources import check_descriptors, system_resources
from rlmesh_api.v1 import env_service_pb2

if TYPE_CHECKING:
    from rlmesh.server.metrics.port import MetricsPort


class ServedProvider(OwnedProvider, Protocol):
    """What has the slots of a server.

    Attributes:
        plan: How much shared memory the calls of one session take.
    """

    plan: SegmentLayout

    def discard(self) -> None:
        """Undoes what was made here, as there will be no server."""
        ...


class EndpointServer:
    """What `EnvServer` and `ModelWorker` have in common: their life."""

    _provider: ServedProvider
    _listeners: Listeners
    _rpc_server: RpcServer
    _life: Lifecycle
    _metrics: MetricsPort | None = None
    _view: ViewProcess | None = None

    def _bind_provider(
        self,
        provider: ServedProvider,
        make_service: Callable[[SessionManager], EndpointService],
        endpoint: EndpointOptions,
        serving: ServeOptions,
        names: Collection[str] = (),
        *,
        lendable: bool = False,
        beside: Callable[[SessionManager], OtherListener] | None = None,
        models: Callable[[], Iterable[env_service_pb2.ModelStatus]] | None = None,
    ) -> None:
        """Binds the address.

        Args:
            provider: Has the slots; it is undone where the address cannot be bound.
            make_service: Makes the gRPC service.
            endpoint: Where to answer, and whom.
            serving: When calls, sessions and the server end.
            names: The names that health knows besides those of the services.
            lendable: Whether a worker process may answer the calls of a connection by itself.
            beside: Binds what listens for clients of another protocol; None: nothing does.
            models: What the models are doing, for the metrics; None: environments are served.
        """
        self._provider = provider
        manager = SessionManager(provider, serving, counts=endpoint.metrics is not None)
        service = make_service(manager)
        doing = f"serve at {endpoint.address}"
        with system_resources(doing), contextlib.ExitStack() as undo:
            undo.callback(provider.discard)
            self._listeners = Listeners(
                endpoint, provider.plan, manager.authenticate, lendable=lendable
            )
            undo.callback(self._listeners.close)
            if beside is not None:
                self._listeners.add(beside(manager))
            self._bind_metrics(endpoint.metrics, manager, models)
            if endpoint.view is not None:
                self._view = ViewProcess(endpoint.view, endpoint.token)
                self._listeners.add(self._view)
            self._rpc_server = RpcServer(
                service,
                endpoint,
                self._listeners,
                provider.capacity,
                names,
                private=None if self._view is None else self._view.private,
            )
            if self._view is not None:
                self._view.label = self.address
            undo.pop_all()
        self._life = Lifecycle(provider, manager, self._rpc_server, serving)

    def _bind_metrics(
        self,
        address: TcpAddress | None,
        manager: SessionManager,
        models: Callable[[], Iterable[env_service_pb2.ModelStatus]] | None,
    ) -> None:
        if address is None:
            return
        # Only here: the extra may not be installed.
        from rlmesh.server.metrics.collector import ServerCollector
        from rlmesh.server.metrics.port import MetricsPort

        collector = ServerCollector(manager, lambda: self._rpc_server.strangers, models)
        self._metrics = MetricsPort(address, collector)
        self._listeners.add(self._metrics)

    @property
    def address(self) -> str:
        """The address that clients connect to, resolved. It is final from construction on."""
        return str(self._rpc_server.address)

    @property
    def direct_address(self) -> str | None:
        """The resolved address of the transport `direct`, or None where it is not offered."""
        return None if self._listeners.direct is None else str(self._listeners.direct)

    @property
    def health_address(self) -> str | None:
        """The resolved address of `health`, or None where there is none. Experimental."""
        address = self._rpc_server.health_address
        return None if address is None else str(address)

    @property
    def metrics_address(self) -> str | None:
        """The resolved address of `metrics`, or None where there is none. Experimental."""
        return None if self._metrics is None else str(self._metrics.address)

    @property
    def view_url(self) -> str | None:
        """Where a browser finds the page of `view`, or None where there is none. Experimental."""
        return None if self._view is None else self._view.url

    def serve(self) -> None:
        """Answers clients until the server is shut down; what is served is called on this thread.

        What a callable makes for each session is called on its own thread, and so is each of
        several models.

        On the main thread SIGINT and SIGTERM shut it down: the call in flight finishes, what is
        served is closed, and this returns. Another signal, a second later or more, ends the process
        at once, with the exit code 128 and the signal's number.

        Where `ServeOptions` limit how long that may take, a call that takes longer is interrupted
        by an exception, if this is the main thread. The exception waits while the call is in native
        code, and `serve` returns only after the call.

        Raises:
            StateError: If the server was started or shut down before, or was made in the process
                that this one is a fork of.
            SystemResourceError: If too few descriptors are free. The server is as before.
        """
        check_descriptors(f"serve at {self.address}")
        with SignalListener(self._end_by_signal) as signals:
            self._life.begin("serve")
            if self._provider.on_caller:
                self._life.interrupt = signals.interrupt
            self._answer(self._provider.run)
            self._life.wait(None)

    def start(self) -> None:
        """Begins to answer clients, and returns; what is served is called on its own thread.

        A program that ends without a shutdown is shut down by its end.

        Raises:
            StateError: If the server was started or shut down before, or was made in the process
                that this one is a fork of.
            SystemResourceError: If too few descriptors are free. The server is as before.
        """
        check_descriptors(f"start the server at {self.address}")
        self._life.begin("start")
        self._answer(self._provider.start)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the server has shut down.

        On the main thread SIGINT and SIGTERM shut it down while this waits, as in `serve`.

        Args:
            timeout: Seconds to wait, None: for ever.

        Returns:
            Whether it has shut down.

        Raises:
            ArgumentTypeError: If `timeout` is no number.
            InvalidArgumentError: If `timeout` is negative or not finite.
            StateError: If the server was never started or was made in the process that this one is
                a fork of, or if this is called by what it serves.
        """
        check_seconds("timeout", timeout)
        self._life.check_not_forked("wait")
        if self._life.state is State.BOUND:
            raise StateError("wait: the server was not started; call start() first")
        if self._life.on_call_thread:
            raise StateError(
                f"wait: called by the server's own {self._provider.kind.noun}, whose end the "
                f"server waits for; call wait() on another thread"
            )
        if timeout == 0:
            return self._life.wait(0)
        with SignalListener(self._end_by_signal):
            return self._life.wait(timeout)

    def shutdown(self) -> None:
        """Ends the server: no new call, the call in flight finishes, what is served is closed.

        Returns when all is done, or at once when called from the thread of what is served. May be
        called repeatedly, from any thread or signal handler, and on a server that was never
        started. Where `ServeOptions` limit how long it may take, what takes longer is left behind,
        and closed when it returns.
        """
        self._life.shutdown()

    def __enter__(self) -> Self:
        """Starts the server, unless it is serving; raises `StateError` if it has ended."""
        if self._life.state is not State.SERVING:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Shuts the server down."""
        self.shutdown()

    def _answer(self, run: Callable[[], None]) -> None:
        """Begins to answer, and runs `run`; an exception of either ends the server."""
        try:
            self._rpc_server.start()
            self._begin_to_serve()
            run()
        except BaseException:
            # Also what a signal handler of the program raises where this is the call thread.
            self._life.end("it could not be started, or was interrupted")
            self._provider.run()
            self._life.wait(None)
            raise

    def _begin_to_serve(self) -> None:
        """Has health say SERVING, as soon as calls are answered."""
        self._rpc_server.serve()

    def _end_by_signal(self) -> None:
        self._life.end("a signal")

    def _end_by_client(self) -> None:
        self._life.end("a client asked for it")
