"""`EnvServer`: puts one environment behind an address."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Literal, Self

from rlmesh.contract import EnvContract
from rlmesh.errors import StateError
from rlmesh.seconds import check_seconds
from rlmesh.security import ServerTLS
from rlmesh.server.envs.provider import provider_for
from rlmesh.server.lifecycle import Lifecycle, State
from rlmesh.server.options import ServeOptions
from rlmesh.server.rpc.listeners import Listeners
from rlmesh.server.rpc.server import RpcServer
from rlmesh.server.rpc.service import EnvService
from rlmesh.server.server_options import ServerOptions, read_options
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.server.signals import SignalListener
from rlmesh.transports.system_resources import check_descriptors, system_resources


class EnvServer:
    """Serves one environment to one client at a time, or to each client its own.

    The constructor binds, so `address` is final from then on; `serve` or `start` begins to answer.

    Example:
        >>> import gymnasium, rlmesh
        >>> with rlmesh.EnvServer(gymnasium.make("CartPole-v1")) as server:
        ...     env = rlmesh.RemoteEnv(server.address)
        ...     observation, info = env.reset(seed=0)
        ...     env.close()

    Args:
        env: A `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, an object of that shape, or a list
            of single environments, which are served as the sub-environments of a vector
            environment. The server closes it when it shuts down. Or a callable that makes any of
            these: then each session has its own environment, called on its own thread and closed
            with the session.
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
        token: What clients must show before the server answers them. Default: the environment
            variable `RLMESH_TOKEN`; if that is not set, clients show nothing.
        tls: Where the server's certificates are; then connections are encrypted, and clients can
            verify the server. Default: nothing is encrypted.
        insecure: Whether to serve beyond this machine with neither a token nor TLS.
        transports: The names of the transports that clients may use, some of `shm`, `direct` and
            `grpc`, which is always on offer. Default: all that this machine supports.
        direct: Where the transport `direct` listens: a TCP address with its own port. Default:
            nowhere. It is encrypted where `tls` is given.
        sessions: How many clients there can be at once, each with its own environment, which `env`,
            a callable, makes when the session begins. Default: one.
        isolation: `process` runs each environment in its own worker process, so that one that
            crashes or hangs does not end the server; `env` must be a callable then. Default: in
            this process.
        nan: `deliver` delivers NaN in a `Box` of floats bit for bit, in observations and in
            actions, whatever `validation` says; the contract says so too. Default: `reject`.

    Raises:
        InvalidEnvError: If `env` has not the form of an environment.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
        InvalidAddressError: If the address is invalid, or cannot be bound on this machine.
        AddressInUseError: If another server listens there.
        InvalidArgumentError: If `validation`, `isolation` or `nan` is an unknown word, `transports`
            holds one, or there are no `sessions`.
        ArgumentTypeError: If an argument has the wrong type.
        InvalidCredentialsError: If the token cannot be one, or a certificate cannot be used.
        SystemResourceError: If the operating system refuses what is needed, such as a descriptor.
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
        validation: Literal["warn", "strict", "off"] | None = None,
        expose: Collection[str] = (),
        token: str | None = None,
        tls: ServerTLS | None = None,
        insecure: bool = False,
        transports: Collection[Literal["shm", "direct", "grpc"]] | None = None,
        direct: str | int | None = None,
        sessions: int | None = None,
        isolation: Literal["process"] | None = None,
        nan: Literal["reject", "deliver"] = "reject",
    ) -> None:
        self._bind(
            env,
            read_options(
                address=address,
                host=host,
                port=port,
                path=path,
                options=options,
                validation=validation,
                expose=expose,
                token=token,
                tls=tls,
                insecure=insecure,
                transports=transports,
                direct=direct,
                sessions=sessions,
                isolation=isolation,
                nan=nan,
            ),
        )

    def _bind(self, env: Any, options: ServerOptions) -> None:
        """Makes the server of checked options, and binds its address."""
        provider = self._provider = provider_for(
            env, options.sessions, options.isolation, options.envs
        )
        self._contract = provider.contract
        serving = options.serving
        manager = SessionManager(provider, serving)
        service = EnvService(
            self._contract,
            manager,
            serving.resume_timeout_seconds,
            sorted(options.envs.exposed),
            self._end_by_client if serving.allow_remote_shutdown else None,
        )
        doing = f"serve at {options.endpoint.address}"
        with system_resources(doing), contextlib.ExitStack() as undo:
            undo.callback(provider.discard)
            self._listeners = Listeners(options.endpoint, provider.plan, manager.authenticate)
            undo.callback(self._listeners.close)
            self._rpc_server = RpcServer(
                service, options.endpoint, self._listeners, provider.capacity
            )
            undo.pop_all()
        self._life = Lifecycle(provider, manager, self._rpc_server, serving)

    @property
    def address(self) -> str:
        """The address that clients connect to, resolved. It is final from construction on."""
        return str(self._rpc_server.address)

    @property
    def direct_address(self) -> str | None:
        """The resolved address of the transport `direct`, or None where it is not offered."""
        return None if self._listeners.direct is None else str(self._listeners.direct)

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

        Environments that a callable makes are called on their own threads.

        On the main thread SIGINT and SIGTERM shut it down: the call in flight finishes, the
        environment is closed, and this returns. Another signal, a second later or more, ends the
        process at once, with the exit code 128 and the signal's number.

        Where `ServeOptions` limit how long that may take, a call that takes longer is interrupted
        by an exception, if this is the main thread. The exception waits while the environment is in
        native code, and `serve` returns only after the environment.

        Raises:
            StateError: If the server was started or shut down before.
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
        """Begins to answer clients, and returns; the environment is called on its own thread.

        A program that ends without a shutdown is shut down by its end.

        Raises:
            StateError: If the server was started or shut down before.
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
            StateError: If the server was never started, or this is called by its environment.
        """
        check_seconds("timeout", timeout)
        if self._life.state is State.BOUND:
            raise StateError("wait: the server was not started; call start() first")
        if self._life.on_env_thread:
            raise StateError(
                "wait: called by the server's own environment, whose end the server waits for; "
                "call wait() on another thread"
            )
        if timeout == 0:
            return self._life.wait(0)
        with SignalListener(self._end_by_signal):
            return self._life.wait(timeout)

    def shutdown(self) -> None:
        """Ends the server: no new call, the call in flight finishes, the environment is closed.

        Returns when all is done, or at once when called from the environment's own thread. May be
        called repeatedly, from any thread or signal handler, and on a server that was never
        started. Where `ServeOptions` limit how long it may take, an environment that takes longer
        is left behind, and closed when it returns.
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

    def __repr__(self) -> str:
        """The environment, the address and the state."""
        return f"<EnvServer {self._contract.id} at {self.address}, {self._life.state.value}>"

    def _answer(self, run: Callable[[], None]) -> None:
        """Begins to answer, and runs `run`; an exception of either ends the server."""
        try:
            self._rpc_server.start()
            run()
        except BaseException:
            # Also what a signal handler of the program raises where this is the environment thread.
            self._life.end("it could not be started, or was interrupted")
            self._provider.run()
            self._life.wait(None)
            raise

    def _end_by_signal(self) -> None:
        self._life.end("a signal")

    def _end_by_client(self) -> None:
        self._life.end("a client asked for it")
