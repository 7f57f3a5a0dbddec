"""A server in its own process, started, awaited and ended as a supervisor does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType

from typing_extensions import Self

from rlmesh.errors import EndpointError
from rlmesh.processes import own_group

# How long a server may take to end once it was asked to, until it is killed.
_END_SECONDS = 15.0


class ServerProcess:
    """`python -m rlmesh._cli.serve_env`, from the start to its end.

    Args:
        arguments: The options that it is started with.
        variables: Environment variables that it is given besides this process's own.
    """

    def __init__(
        self, arguments: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._arguments = arguments
        self._variables = variables
        # What it writes on stderr waits here: a live display would be torn by it.
        self._errors = tempfile.TemporaryFile(  # noqa: SIM115 - closed on leaving
            "w+", encoding="utf-8", errors="replace"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id; None where it has none."""
        return self._process.pid if self._process else None

    def start(self) -> str:
        """Starts the server and waits until it serves.

        Returns:
            Its address.

        Raises:
            EndpointError: If it ended instead.
        """
        reader, writer = os.pipe()
        with open(reader, encoding="utf-8") as ready:
            try:
                # Ctrl-C is for this process, which then ends the server.
                self._process = own_group.popen(
                    [
                        sys.executable,
                        "-m",
                        "rlmesh._cli.serve_env",
                        *self._arguments,
                        "--ready-fd",
                        str(writer),
                    ],
                    env={**os.environ, **self._variables},
                    pass_fds=(writer,),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                )
            finally:
                os.close(writer)
            # The pipe ends with the line, or with the process.
            address = ready.read().strip()
        if not address:
            raise EndpointError(f"the server {self._how_it_ended(self._process.wait())}")
        return address

    def stop(self) -> None:
        """Ends the server as a supervisor does, and prints what it wrote to stderr.

        Raises:
            EndpointError: If it did not end cleanly.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise EndpointError(
                f"the server did not end within {_END_SECONDS:g} s and was killed"
            ) from None
        if code != 0:
            raise EndpointError(f"the server {self._how_it_ended(code)}")
        sys.stderr.write(self._said())

    def __enter__(self) -> Self:
        """The process itself, not started yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the server."""
        try:
            self.stop()
        finally:
            self._errors.close()

    def _how_it_ended(self, code: int) -> str:
        *before, last = self._said().strip().splitlines() or [""]
        sys.stderr.writelines(f"{line}\n" for line in before)
        reason = f": {last.removeprefix('Error: ')}" if last else ""
        return f"ended with exit code {code}{reason}"

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()
