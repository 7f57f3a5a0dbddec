"""`python -m rlmesh_legacy_server CartPole-v1 --address tcp://127.0.0.1:5555`."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
from typing import Any, Sequence

from rlmesh_legacy_server.server import EnvServer, ServerTLS
from rlmesh_legacy_server.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="rlmesh-legacy-server", description="Serve an environment of an old Python over gRPC."
    )
    add = parser.add_argument
    add("env", metavar="ENV", help="a registered id, or package.module:callable that makes one")
    add("--kwargs", default="{}", metavar="JSON", help="keyword arguments for making it")
    add("--address", default="tcp://127.0.0.1:0", help="tcp://HOST:PORT; port 0: a free one")
    add("--ready-fd", type=int, metavar="N", help="write the address on this descriptor once ready")
    add("--validation", choices=("warn", "strict", "off"))
    add(
        "--expose", action="append", default=[], metavar="NAME", help="an attribute clients may use"
    )
    add("--nan", choices=("reject", "deliver"), default="reject")
    add("--token-file", metavar="FILE", help="has the token; otherwise RLMESH_TOKEN may have it")
    add("--tls-certificate", metavar="FILE")
    add("--tls-key", metavar="FILE")
    add("--tls-client-ca", metavar="FILE")
    add("--insecure", action="store_true", help="serve beyond this machine without token and TLS")
    add("--allow-remote-shutdown", action="store_true")
    add("--version", action="version", version=__version__)
    given = parser.parse_args(arguments)
    if bool(given.tls_certificate) != bool(given.tls_key):
        parser.error("--tls-certificate and --tls-key go together")
    if given.ready_fd is not None and given.ready_fd <= 2:
        parser.error(f"--ready-fd {given.ready_fd} is a standard stream; open another, 3>ready.txt")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # The folder of the caller, as for `python -m`.
    sys.path.insert(0, os.getcwd())
    if given.ready_fd is not None:
        os.set_inheritable(given.ready_fd, False)
    env = _made(given.env, json.loads(given.kwargs))
    tls = (given.tls_certificate, given.tls_key, given.tls_client_ca)
    token = None
    if given.token_file:
        with open(given.token_file, encoding="utf-8") as file:
            token = file.read().strip()
    try:
        server = EnvServer(
            env,
            given.address,
            validation=given.validation,
            expose=given.expose,
            token=token,
            tls=ServerTLS(*tls) if given.tls_certificate else None,
            insecure=given.insecure,
            nan=given.nan,
            allow_remote_shutdown=given.allow_remote_shutdown,
        )
    except (OSError, TypeError, ValueError) as error:
        env.close()
        parser.exit(1, f"rlmesh-legacy-server: {error}\n")
    server.serve(lambda address: _tell(address, given.ready_fd))
    return 0


def _tell(address: str, fd: int | None) -> None:
    logging.getLogger("rlmesh_legacy_server").info("serving at %s", address)
    if fd is not None:
        with os.fdopen(fd, "w") as file:
            file.write(f"{address}\n")


def _made(name: str, kwargs: Any) -> Any:
    module, colon, attribute = name.partition(":")
    if colon and attribute.isidentifier():
        return getattr(importlib.import_module(module), attribute)(**kwargs)
    try:
        library = importlib.import_module("gymnasium")
    except ImportError:
        library = importlib.import_module("gym")
    return library.make(name, **kwargs)


if __name__ == "__main__":
    sys.exit(main())
