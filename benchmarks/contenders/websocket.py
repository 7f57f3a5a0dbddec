"""websockets with MessagePack: the threaded client and server, for Gymnasium is synchronous."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, TypedDict

from websockets.sync import client, server

from benchmarks.contenders.answering import driven_requests, respond
from benchmarks.contenders.codec import pack, unpack
from benchmarks.contenders.driven import Driven
from benchmarks.peer import Announce, peer
from benchmarks.workloads import WORKLOADS, Workload


# Frames are large and do not shrink; a client that waits for its turn is no dead one.
class _Options(TypedDict):
    compression: None
    max_size: None
    ping_interval: None


_OPTIONS: _Options = {"compression": None, "max_size": None, "ping_interval": None}


@contextlib.contextmanager
def open_it(workload: Workload) -> Generator[Driven]:
    """Over TCP."""
    with (
        peer(serve, workload.key) as address,
        client.connect(address, proxy=None, **_OPTIONS) as connection,
    ):

        def call(request: Any) -> Any:
            connection.send(pack(request))
            return unpack(connection.recv(decode=False))

        yield driven_requests(call, workload)


def serve(announce: Announce, workload: str) -> None:
    """The other process."""
    env = WORKLOADS[workload].make()

    def handle(connection: server.ServerConnection) -> None:
        for message in connection:
            if isinstance(message, bytes):
                connection.send(pack(respond(env, unpack(message))))

    with server.serve(handle, "127.0.0.1", 0, **_OPTIONS) as serving:
        announce(f"ws://127.0.0.1:{serving.socket.getsockname()[1]}")
        serving.serve_forever()
