"""The Ray actor that holds a server: what it is given, and what it reports."""

from __future__ import annotations

import os
import pickle
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ray
import ray.util

from rlmesh.address import TcpAddress
from rlmesh.envs.raised import CallFailedError
from rlmesh.errors import InvalidCredentialsError, RlmeshError
from rlmesh.security import ServerTLS
from rlmesh.server.endpoint_server import EndpointServer
from rlmesh_api.v1 import session_pb2

_LOOPBACK = "127.0.0.1"


class Serve(Protocol):
    """Makes a server; it is pickled, and called in the actor."""

    def __call__(self, **endpoint: Any) -> tuple[EndpointServer, tuple[bytes, ...]]:
        """Makes the server, with arguments that say where it listens and whom it answers.

        Returns:
            The server, and what it serves: its contracts, serialized.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """What every server of a fleet is made with.

    Attributes:
        serve: A `Serve`, pickled.
        host: The machine of the program that drives the fleet; see `this_host`.
        token: What clients must show.
        tls: The certificates of servers, as paths on their nodes; None: nothing is encrypted.
        insecure: Whether what crosses between machines may go unencrypted.
        raised: Makes the failure for what `serve` raises, of an environment or of a model.
    """

    serve: bytes = field(repr=False)
    host: str
    token: str = field(repr=False)
    tls: ServerTLS | None
    insecure: bool
    raised: Callable[[str, BaseException], CallFailedError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an actor says about itself.

    Attributes:
        node: The id of its node.
        node_address: The IP address of its node.
        pid: Its process.
        address: Where its server listens; empty where it could not be made.
        contracts: What it serves, serialized.
        failure: Why there is no server, a serialized `Failure`; empty where there is one.
    """

    node: str
    node_address: str
    pid: int
    address: str
    contracts: tuple[bytes, ...]
    failure: bytes


class ServerActor:
    """Holds a server in a process that Ray has placed.

    The first report makes the server: where the process dies of that, the report fails, and not
    this object, which Ray would make again and again. The server answers on its own threads. Ray
    makes this object again, in another process, where one has died: the server has another address
    then.

    Args:
        spec: What to serve.
    """

    def __init__(self, spec: ServerSpec) -> None:
        self._spec = spec
        self._server: EndpointServer | None = None
        self._contracts: tuple[bytes, ...] = ()
        self._failure = b""

    def _make(self) -> None:
        spec = self._spec
        try:
            self._server, self._contracts = _serving(spec)
        except RlmeshError as error:
            # The program gets the same error as where the server is made in it.
            self._failure = session_pb2.Failure(
                message=str(error), exception_type=type(error).__qualname__
            ).SerializeToString()
        except BaseException as error:  # noqa: BLE001 - reported to the program, which raises it
            raised = spec.raised("making what is served", error)
            self._failure = raised.failure.SerializeToString()

    def report(self) -> Report:
        """Where the server is, or why there is none; makes it where that was not tried yet."""
        if self._server is None and not self._failure:
            self._make()
        context = ray.get_runtime_context()
        return Report(
            node=context.get_node_id(),
            node_address=ray.util.get_node_ip_address(),
            pid=os.getpid(),
            address="" if self._server is None else self._server.address,
            contracts=self._contracts,
            failure=self._failure,
        )

    def end(self) -> None:
        """Shuts the server down, and closes what it serves."""
        if self._server is not None:
            self._server.shutdown()


def this_host() -> str:
    """Names what shares a loopback with this process: its machine, and there its network."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.stat('/proc/self/ns/net').st_ino}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode()}"


def _serving(spec: ServerSpec) -> tuple[EndpointServer, tuple[bytes, ...]]:
    """Makes the server of a spec, and starts it."""
    host = _LOOPBACK
    if spec.host != this_host():
        host = ray.util.get_node_ip_address()
        if spec.tls is None and not spec.insecure:
            raise InvalidCredentialsError(
                f"this node, {host}, is another machine than that of the program, and what crosses "
                f"between them, the token too, would not be encrypted; give server_tls= and tls=, "
                f"or insecure=True if all of that network is trusted"
            )
    serve: Serve = pickle.loads(spec.serve)  # noqa: S301 - of the program that owns this actor
    server, contracts = serve(
        address=str(TcpAddress(host, 0)),
        direct=str(TcpAddress(host, 0)),
        token=spec.token,
        tls=spec.tls,
        insecure=spec.insecure,
    )
    server.start()
    return server, contracts
