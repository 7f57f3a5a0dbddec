"""How a request and its answer cross. Transports know messages and no environments.

- `transport`: a transport as a client sees it; `pipe_transport` makes one of a pipe.
- `pipe`: one side's end of a transport: sends and receives messages.
- `shm`, `tcp`, `grpc`: the three ways across. `scratch`: a buffer for messages.
- `spin_policy`: whether a side that waits spins or sleeps.
- `listener`: where the client of a session gets a pipe; `worker`: a pipe to a worker process.
- `lending`: what it takes that another process uses a client's pipe for a while.
- `tls`, `certificates`: TLS for gRPC and for sockets.
- `peer`: who the other side is; `failures`: failures on the wire as errors in Python.
- `system_resources`: what the operating system refuses, as an error.

The package imports gRPC, with the settings below.
"""

from __future__ import annotations

import importlib
import os

# gRPC reads these while it is imported, and only then.
_GRPC_SETTINGS = {
    # A server whose environment forks workers is in the middle of calls. gRPC says so on standard
    # error and still restarts its threads in the worker, which crashes at random.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    # Errors, and no remarks.
    "GRPC_VERBOSITY": "ERROR",
}


def _import_grpc() -> None:
    """Imports gRPC with our settings, where the user has not set others, and drops them again."""
    ours = {name: value for name, value in _GRPC_SETTINGS.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        importlib.import_module("grpc")
    finally:
        for name in ours:
            del os.environ[name]


_import_grpc()
