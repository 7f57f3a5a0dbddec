"""How a request and its answer cross. Transports know messages and no environments."""

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
