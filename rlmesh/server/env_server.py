"""`EnvServer`: puts one environment behind an address."""

from __future__ import annotations

import atexit
import contextlib
import enum
import logging
import os
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rlmesh.address import address_from
from rlmesh.contract import EnvContract, read_contract
from rlmesh.errors import ArgumentTypeError, InvalidAddressError, StateError
from rlmesh.lanes.grpc_options import server_options
from rlmesh.seconds import check_seconds
from rlmesh.server.attributes import check_exposed
from rlmesh.server.binding import bind, unlink_socket
from rlmesh.server.host import Host, HostStoppedError
from rlmesh.server.lanes_of import vector_of
from rlmesh.server.options import ServeOptions
from rlmesh.server.served_env import ServedEnv
from rlmesh.server.service import EnvService
from rlmesh.server.session import Desk
from rlmesh.server.signals import end_by_signals
from rlmesh.values.conformance import policy_from
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc

_log = logging.getLogger("rlmesh.server")

_SERVICE_NAMES = ("", *(s.full_name for s in env_service_pb2.DESCRIPTOR.services_by_name.values()))
# Sessions hold a thread each while they last; threads are made when they are needed.
_MAX_THREADS = 256
# How long answers that are under way may take to leave after the last call has returned.
_FLUSH_SECONDS = 0.2


class _State(enum.Enum):
    BOUND = "bound, not started"
    SERVING = "serving"
    DRAINING = "shutting down"
    CLOSED = "closed"


class EnvServer:
    """Serves one environment to one client at a time.

    The constructor binds, so `address` is final from then on; `serve` or `start` begins to answer.

    Example:
        >>> import gymnasium, rlmesh
        >>> with rlmesh.EnvServer(gymnasium.make("CartPole-v1")) as server:
        ...     env = rlmesh.RemoteEnv(server.address)
        ...     observation, info = env.reset(seed=0)
        ...     env.close()

    Args:
        env: A `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, an object of that shape, or a list
            of single environments, which are served as the lanes of a vector environment. The
            server closes it when it shuts down.
        address: `tcp://HOST:PORT`, `HOST:PORT`, `PORT`, `[IPV6]:PORT` or `unix:///PATH`. Port 0
            chooses a free one. Default: a free port of the loopback.
        host: The host, instead of `address`.
        port: The port, instead of `address`.
        path: The path of a Unix socket, instead of `address`.
        options: How the server behaves at the edges of its life.
        validation: What to do about a value outside of its bounds: `warn`, `strict` or `off`.
            Default: the environment variable `RLMESH_VALIDATION_POLICY`, else `warn`.
        expose: The names of the attributes and methods of the environment that clients may read,
            set and call.
        insecure: Whether to serve beyond this machine without a token or TLS.

    Raises:
        InvalidEnvError: If `env` has not the shape of an environment.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
        InvalidAddressError: If the address is none, or cannot be bound on this machine.
        AddressInUseError: If somebody else serves there.
        InvalidArgumentError: If `validation` is an unknown word.
    """

    def __init__(
        self,
        env: Any,
        address: str | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        path: str | os.PathLike[str] | None = None,
        options: ServeOptions | None = None,
        validation: str | None = None,
        expose: Collection[str] = (),
        insecure: bool = False,
    ) -> None:
        if options is not None and not isinstance(options, ServeOptions):
            raise ArgumentTypeError(f"options must be a rlmesh.ServeOptions, got {options!r}")
        self._options = options or ServeOptions()
        policy = policy_from(validation, os.environ)
        wanted = address_from(address, host=host, port=port, path=path)
        if not (wanted.is_loopback or insecure):
            raise InvalidAddressError(
                f"{wanted} is reachable from other machines, and whoever reaches it may drive the "
                f"environment; serve on 127.0.0.1 or a Unix socket, or pass insecure=True if "
                f"everybody on that network is trusted"
            )
        if isinstance(env, (list, tuple)):
            env = vector_of(env)
        self._contract = read_contract(env)
        self._env = ServedEnv(env, self._contract, policy, check_exposed(expose))
        self._host = Host()
        self._desk = Desk(self._env, self._host)
        self._pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="rlmesh-rpc")
        self._health = health.HealthServicer()
        self._grpc = grpc.server(self._pool, options=server_options())
        ending = self._begin_to_end if self._options.allow_remote_shutdown else None
        service = EnvService(self._contract, self._desk, self._host, ending)
        env_service_pb2_grpc.add_EnvServiceServicer_to_server(service, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection(
            (*_SERVICE_NAMES[1:], health.SERVICE_NAME, reflection.SERVICE_NAME), self._grpc
        )
        self._tell_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._state = _State.BOUND
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._host_thread: threading.Thread | None = None
        self._address = bind(self._grpc, wanted)

    @property
    def address(self) -> str:
        """Where clients connect: resolved, and final from construction on."""
        return str(self._address)

    @property
    def env_contract(self) -> EnvContract:
        """The contract of the environment, from construction on."""
        return self._contract

    @property
    def spec(self) -> EnvContract:
        """The same as `env_contract`."""
        return self._contract

    def serve(self) -> None:
        """Answers clients until the server is shut down; the environment is called on this thread.

        On the main thread SIGINT and SIGTERM shut it down: the call in flight finishes, the
        environment is closed, and this returns.

        Raises:
            StateError: If the server was started or shut down before.
        """
        self._begin("serve")
        self._host_thread = threading.current_thread()
        with end_by_signals(self.shutdown):
            self._answer()
            self._host.run()
        self._closed.wait()

    def start(self) -> None:
        """Begins to answer clients, and returns; the environment is called on a thread of its own.

        Raises:
            StateError: If the server was started or shut down before.
        """
        self._begin("start")
        # A daemon, so that a program that forgot to shut down can end; atexit shuts down for it.
        self._host_thread = threading.Thread(
            target=self._host.run, name="rlmesh-env", daemon=True
        )
        self._host_thread.start()
        atexit.register(self.shutdown)
        self._answer()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the server has shut down.

        On the main thread SIGINT and SIGTERM shut it down while this waits.

        Args:
            timeout: Seconds to wait, None: for ever.

        Returns:
            Whether it has shut down.

        Raises:
            ArgumentTypeError: If `timeout` is no number.
            InvalidArgumentError: If `timeout` is negative or not finite.
            StateError: If the server was never started.
        """
        check_seconds("timeout", timeout)
        if self._state is _State.BOUND:
            raise StateError("wait: the server was not started; call start() first")
        with end_by_signals(self.shutdown):
            return self._closed.wait(timeout)

    def shutdown(self) -> None:
        """Ends the server: no new call, the call in flight finishes, the environment is closed.

        Returns when all is done, or at once when called from the environment's own thread. May be
        called repeatedly, from any thread, and on a server that was never started.
        """
        with self._lock:
            first = self._state in (_State.BOUND, _State.SERVING)
            started = self._state is _State.SERVING
            if first:
                self._state = _State.DRAINING
        on_host = threading.current_thread() is self._host_thread
        if first and on_host:
            # The environment's thread must be free to close the environment.
            threading.Thread(target=self._shut_down, args=(started,), name="rlmesh-end").start()
        elif first:
            self._shut_down(started)
        elif not on_host:
            self._closed.wait()

    def __enter__(self) -> Self:
        """Starts the server, unless it has been."""
        if self._state is _State.BOUND:
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

    def __repr__(self) -> str:
        """The environment, the address and the state."""
        return f"<EnvServer {self._contract.id} at {self.address}, {self._state.value}>"

    def _begin(self, verb: str) -> None:
        with self._lock:
            if self._state is not _State.BOUND:
                raise StateError(
                    f"{verb}: the server at {self.address} is {self._state.value}; a server is "
                    f"started once, make a new EnvServer"
                )
            self._state = _State.SERVING

    def _answer(self) -> None:
        self._grpc.start()
        with self._lock:
            if self._state is _State.SERVING:
                self._tell_health(health_pb2.HealthCheckResponse.SERVING)
        if self._options.idle_timeout_seconds is not None:
            threading.Thread(target=self._watch_idleness, name="rlmesh-idle", daemon=True).start()
        _log.info("serving %s at %s", self._contract.id, self.address)

    def _begin_to_end(self) -> None:
        threading.Thread(target=self.shutdown, name="rlmesh-end").start()

    def _shut_down(self, started: bool) -> None:
        try:
            self._tell_health(health_pb2.HealthCheckResponse.NOT_SERVING)
            self._desk.drain()
            if started:
                self._close_env_on_host()
            else:
                self._close_env()
        finally:
            self._host.stop()
            self._grpc.stop(_FLUSH_SECONDS).wait()
            self._pool.shutdown(wait=False)
            unlink_socket(self._address)
            atexit.unregister(self.shutdown)
            self._state = _State.CLOSED
            self._closed.set()
            _log.info("the server at %s has ended", self.address)

    def _close_env_on_host(self) -> None:
        drain, close = self._options.drain_timeout_seconds, self._options.close_timeout_seconds
        closer = threading.Thread(target=self._hand_close_to_host, name="rlmesh-close", daemon=True)
        closer.start()
        deadline = None if drain is None else time.monotonic() + drain
        while closer.is_alive():
            running = self._host.running
            if running is not None and running.name == "close" and close is not None:
                closer.join(close)
                if closer.is_alive():
                    _log.error("the environment's close() did not return within %s s", close)
                return
            if deadline is not None and time.monotonic() >= deadline:
                _log.error("the call in flight did not return within %s s", drain)
                return
            closer.join(0.05)

    def _hand_close_to_host(self) -> None:
        with contextlib.suppress(HostStoppedError):
            self._host.call(self._close_env, name="close")

    def _close_env(self) -> None:
        try:
            self._env.close()
        except BaseException:  # noqa: BLE001 - the server ends whatever its environment does
            _log.exception("the environment's close() raised")

    def _watch_idleness(self) -> None:
        limit = self._options.idle_timeout_seconds or 0.0
        while True:
            idle = time.monotonic() - self._host.idle_since
            busy = self._host.running is not None
            if not busy and idle >= limit:
                _log.info("no request for %.1f s: shutting down", idle)
                self.shutdown()
                return
            if self._closed.wait(limit if busy else limit - idle):
                return

    def _tell_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in _SERVICE_NAMES:
            self._health.set(name, status)
