"""How a request and its answer cross. Lanes know messages and no environments."""

from __future__ import annotations

import importlib
import os


def _import_grpc_quietly() -> None:
    """Keeps gRPC's remarks, unlike its errors, from standard error.

    It makes one whenever an environment that is served forks a worker, for instance. It reads the
    variable while it is imported, and only then; what the user has set there stands.
    """
    if "GRPC_VERBOSITY" in os.environ:
        return
    os.environ["GRPC_VERBOSITY"] = "ERROR"
    try:
        importlib.import_module("grpc")
    finally:
        del os.environ["GRPC_VERBOSITY"]


_import_grpc_quietly()
