"""`EnvServer`: an environment at an address, over gRPC."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import os
import re
import signal
import threading
from concurrent import futures
from typing import Any, Callable, Collection, Iterator, NamedTuple

import grpc

from rlmesh_legacy_server import messages
from rlmesh_legacy_server.environment import Environment
from rlmesh_legacy_server.sessions import (
    GENERATION,
    MAX_MESSAGE_BYTES,
    PIECE_BYTES,
    CallThread,
    Sessions,
    fill_peer,
)

_SERVICE = "rlmesh_api.v1.EnvService"
_HEALTH = "grpc.health.v1.Health"
_ALLOWED = (
    "tcp://HOST:PORT, HOST:PORT, PORT or [IPV6]:PORT; unix:// needs a newer Python and rlmesh"
)
_TOKEN = re.compile(r"[!-~]{1,4096}")
_MOST_CALLS = 100
# How long answers on their way may take to leave, and gRPC to end every call.
_FLUSH_SECONDS, _SHUTDOWN_SECONDS = 0.2, 20.0
_PING_MS, _PONG_MS, _LEAST_PING_MS = 10_000, 110_000, 5_000
_OPTIONS = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", PIECE_BYTES),
    # Without this two servers may share one port, and each would get some of the clients.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", _PING_MS),
    ("grpc.keepalive_timeout_ms", _PONG_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_PING_MS),
]


class ServerTLS(NamedTuple):
    """Paths of PEM files: a certificate, its key, and the authorities of clients where asked."""

    certificate: str
    key: str
    client_ca: str | None = None


class EnvServer:
    """Serves an environment to one client at a time, over gRPC.

    Example:
        >>> import gym
        >>> from rlmesh_legacy_server import EnvServer
        >>> EnvServer(gym.make("CartPole-v1"), "127.0.0.1:5555").serve()  # doctest: +SKIP

    Args:
        env: An environment or a vector environment of Gym or Gymnasium, or an object of that shape.
        address: `tcp://HOST:PORT`, `HOST:PORT` or `PORT`; port 0 chooses a free one.
        validation: What to do about values out of their bounds: `warn`, `strict` or `off`. None: as
            the variable `RLMESH_VALIDATION_POLICY` says, else `warn`.
        expose: The names of the attributes that clients may read, set and call.
        token: What clients must show. None: what the variable `RLMESH_TOKEN` says, else nothing.
        tls: The server's certificates. None: nothing is encrypted.
        insecure: Whether everybody who reaches the address may come in, without token or TLS.
        nan: `reject` or `deliver`: what to do about NaN in a Box of floats.
        allow_remote_shutdown: Whether a client may end the server.

    Attributes:
        address: Where it is bound, port 0 resolved.
        env_contract: The contract, a message.

    Raises:
        TypeError: If `env` has not the shape of an environment, or a space cannot be carried.
        ValueError: If another argument is none of those allowed, or the address cannot be bound.
    """

    def __init__(
        self,
        env: Any,
        address: str = "tcp://127.0.0.1:0",
        *,
        validation: str | None = None,
        expose: Collection[str] = (),
        token: str | None = None,
        tls: ServerTLS | None = None,
        insecure: bool = False,
        nan: str = "reject",
        allow_remote_shutdown: bool = False,
    ) -> None:
        policy = validation or os.environ.get("RLMESH_VALIDATION_POLICY") or "warn"
        _check("validation", policy, ("warn", "strict", "off"))
        _check("nan", nan, ("reject", "deliver"))
        if isinstance(expose, str):
            raise TypeError(
                f'expose must be a collection of names, such as ("level",), got {expose!r}'
            )
        host, port = _parsed(address)
        token = os.environ.get("RLMESH_TOKEN") if token is None else token
        if token is not None and not _TOKEN.fullmatch(token):
            raise ValueError("a token is 1 to 4096 printable ASCII characters without blanks")
        if not (token or tls or insecure or _is_loopback(host)):
            raise ValueError(
                f"{address} can be reached from other machines, and whoever reaches it could drive "
                f"the environment; give token=, tls= or insecure=True, or bind to 127.0.0.1"
            )
        self._environment = Environment(env, policy, frozenset(expose), nan=nan == "deliver")
        self.env_contract = self._environment.contract
        self._thread = CallThread()
        self._sessions = Sessions(self._environment, self._thread)
        self._health = _Health()
        self._allow_shutdown = allow_remote_shutdown
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._begun = False
        self._server = grpc.server(
            _ThreadPerCall(),
            interceptors=[_TokenInterceptor(token)] if token else [],
            options=_OPTIONS,
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        self._server.add_generic_rpc_handlers((self._handlers(), self._health.handlers()))
        self.address = self._bound(host, port, tls)

    def serve(self, ready: Callable[[str], None] | None = None) -> None:
        """Serves until SIGINT, SIGTERM or `shutdown`; the environment is called on this thread.

        The call in progress is finished first, and the environment closed. A second signal ends
        the process at once.

        Args:
            ready: Called with the address once calls are answered.
        """
        self._begin()
        with contextlib.ExitStack() as undo:
            if threading.current_thread() is threading.main_thread():
                self._watch_signals(undo)
            self._serving()
            if ready is not None:
                ready(self.address)
            self._run()

    def start(self) -> None:
        """Serves from now on, on a thread of its own that calls the environment."""
        self._begin()
        threading.Thread(target=self._run, name="rlmesh-env", daemon=True).start()
        self._serving()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the server has ended; False if it has not in so many seconds."""
        return self._ended.wait(timeout)

    def shutdown(self) -> None:
        """Ends the server, and returns once the environment is closed."""
        self._drain()
        with self._lock:
            begun, self._begun = self._begun, True
        if not begun:
            self._run()
        self._ended.wait()

    def __enter__(self) -> EnvServer:  # noqa: PYI034 - Self is younger than this Python
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def _begin(self) -> None:
        with self._lock:
            if self._begun:
                raise RuntimeError("the server was started before; make another one")
            self._begun = True
        self._server.start()

    def _serving(self) -> None:
        self._health.set(serving=True)

    def _run(self) -> None:
        """Calls the environment until the server ends, and closes it."""
        try:
            self._thread.run()
            self._environment.close()
        finally:
            self._health.end()
            # A process that exits before gRPC has shut down hangs in its destructor.
            self._server.stop(_FLUSH_SECONDS).wait(_SHUTDOWN_SECONDS)
            self._ended.set()

    def _drain(self) -> None:
        self._health.set(serving=False)
        self._sessions.drain()
        self._thread.stop()

    def _watch_signals(self, undo: contextlib.ExitStack) -> None:
        """Has a thread end the server at a signal, until `undo` is closed.

        A handler in Python would run on this thread, which may be in the environment's C code, or
        about to wait for a call: one that comes just before the wait does not end it.
        """
        reader, writer = os.pipe()
        undo.callback(os.close, writer)
        os.set_blocking(writer, False)
        for number in (signal.SIGINT, signal.SIGTERM):
            undo.callback(signal.signal, number, signal.signal(number, lambda *_: None))
        undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer))
        threading.Thread(target=self._end_on_signal, args=(reader,), daemon=True).start()

    def _end_on_signal(self, reader: int) -> None:
        with open(reader, "rb", buffering=0) as signals:
            if signals.read(1):
                self._drain()
            second = signals.read(1)
            if second:
                os._exit(128 + second[0])

    def _bound(self, host: str, port: int, tls: ServerTLS | None) -> str:
        authority = f"[{host}]" if ":" in host else host
        target = f"{authority}:{port}"
        try:
            if tls is None:
                bound = self._server.add_insecure_port(target)
            else:
                bound = self._server.add_secure_port(target, _credentials(tls))
        except RuntimeError as error:
            raise ValueError(f"tcp://{target} cannot be bound: {error}") from error
        if bound == 0:
            raise ValueError(f"tcp://{target} cannot be bound; is it in use by another program?")
        return f"tcp://{authority}:{bound}"

    def _handlers(self) -> Any:
        handlers: dict[str, Any] = {
            "Session": grpc.stream_stream_rpc_method_handler(self._sessions.serve)
        }
        for name, method in (
            ("GetContract", self._contract),
            ("GetStatus", lambda request, context: self._sessions.status()),
            ("Shutdown", self._remote_shutdown),
        ):
            handlers[name] = grpc.unary_unary_rpc_method_handler(
                method,
                request_deserializer=getattr(messages, f"{name}Request").FromString,
                response_serializer=getattr(messages, f"{name}Response").SerializeToString,
            )
        return grpc.method_handlers_generic_handler(_SERVICE, handlers)

    def _contract(self, request: Any, context: Any) -> Any:
        response = messages.GetContractResponse(protocol_generation=GENERATION)
        response.contract.CopyFrom(self.env_contract)
        fill_peer(response.server)
        return response

    def _remote_shutdown(self, request: Any, context: Any) -> Any:
        if not self._allow_shutdown:
            context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                "clients may not shut this server down; serve with allow_remote_shutdown=True",
            )
        threading.Thread(target=self._drain, daemon=True).start()
        return messages.ShutdownResponse()


class _Health:
    """The service `grpc.health.v1.Health`."""

    _NAMES = ("", _SERVICE, _HEALTH)
    _UNKNOWN, _SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 0, 1, 2, 3

    def __init__(self) -> None:
        # Guards both.
        self._changed = threading.Condition()
        self._status = self._NOT_SERVING
        self._ended = False

    def set(self, *, serving: bool) -> None:
        """Says SERVING or NOT_SERVING from now on."""
        with self._changed:
            self._status = self._SERVING if serving else self._NOT_SERVING
            self._changed.notify_all()

    def end(self) -> None:
        """Ends the watches."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def handlers(self) -> Any:
        """What gRPC calls."""
        forms = {
            "request_deserializer": messages.HealthCheckRequest.FromString,
            "response_serializer": messages.HealthCheckResponse.SerializeToString,
        }
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, **forms),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, **forms),
        }
        return grpc.method_handlers_generic_handler(_HEALTH, methods)

    def _check(self, request: Any, context: Any) -> Any:
        if request.service not in self._NAMES:
            context.abort(grpc.StatusCode.NOT_FOUND, "this server has no service of that name")
        return messages.HealthCheckResponse(status=self._status)

    def _watch(self, request: Any, context: Any) -> Iterator[Any]:
        def woken() -> None:
            with self._changed:
                self._changed.notify_all()

        context.add_callback(woken)
        told = -1
        while True:
            with self._changed:
                while not self._ended and context.is_active() and self._of(request) == told:
                    self._changed.wait()
                status = self._of(request)
            if status == told or not context.is_active():
                return
            told = status
            yield messages.HealthCheckResponse(status=told)

    def _of(self, request: Any) -> int:
        return self._status if request.service in self._NAMES else self._SERVICE_UNKNOWN


class _TokenInterceptor(grpc.ServerInterceptor):
    """Refuses a call without the token, before anything else is done for it; but for health."""

    def __init__(self, token: str) -> None:
        self._shown = f"Bearer {token}".encode()
        self._refuse: Any = grpc.stream_stream_rpc_method_handler(_refuse)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """What handles a call."""
        details = handler_call_details
        if details.method in (f"/{_HEALTH}/Check", f"/{_HEALTH}/Watch"):
            return continuation(details)
        shown = [value for key, value in details.invocation_metadata if key == "authorization"]
        if len(shown) == 1:
            value = shown[0] if isinstance(shown[0], bytes) else shown[0].encode(errors="replace")
            if hmac.compare_digest(value, self._shown):
                return continuation(details)
        return self._refuse


def _refuse(requests: Any, context: Any) -> Any:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "this server answers those who show its token")


class _ThreadPerCall(futures.ThreadPoolExecutor):
    """Runs each call on its own daemon thread: at its end, Python does not wait for clients."""

    def submit(self, fn: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Starts `fn`."""
        future: Any = futures.Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - the future has it
                future.set_exception(error)

        threading.Thread(target=run, name="rlmesh-rpc", daemon=True).start()
        return future


def _credentials(tls: ServerTLS) -> Any:
    def read(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    authorities = None if tls.client_ca is None else read(tls.client_ca)
    return grpc.ssl_server_credentials(
        [(read(tls.key), read(tls.certificate))], authorities, authorities is not None
    )


def _check(name: str, word: str, allowed: tuple[str, ...]) -> None:
    if word not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {word!r:.80}")


def _parsed(address: str) -> tuple[str, int]:
    scheme, separator, rest = address.partition("://")
    host, _, port = (rest if separator else address).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    wrong = (separator and scheme != "tcp") or (":" in host and not bracketed) or len(port) > 5
    if wrong or not (port.isdecimal() and int(port) < 1 << 16):
        raise ValueError(f"{address!r} is no address of this server. Allowed: {_ALLOWED}")
    return (host[1:-1] if bracketed else host) or "127.0.0.1", int(port)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
