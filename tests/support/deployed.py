"""What the files in deploy/ say, and their commands as processes of a test.

A test has neither the ports nor the folders of a container. `Place` puts those of the test into the
arguments that a file gives.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.pages import code, tables
from support.processes import Command, command
from support.repository import ROOT

DEPLOY = ROOT / "deploy"
REASON = "`make check` installs it"

# An address that a server is given; what a client is given is translated by `Place`.
_LISTENS = re.compile(r"tcp://(?:0\.0\.0\.0|127\.0\.0\.1):(\d+)")
_SERVED = re.compile(r"is served at (\S+?)(?: and, for health probes, at (\S+?))?; Ctrl-C ends it")


def documents(path: str) -> list[dict[str, Any]]:
    """The documents of a YAML file in deploy/."""
    yaml = pytest.importorskip("yaml", reason=REASON)
    found: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / path).read_text()))
    return found


def document(path: str, kind: str) -> dict[str, Any]:
    """The only document of a kind in a manifest."""
    [found] = [each for each in documents(path) if each["kind"] == kind]
    return found


@dataclass(frozen=True)
class Place:
    """Where the things that a file names are in this test.

    Attributes:
        ports: The port in the test for each port in the file.
        paths: The path in the test for each path in the file.
    """

    ports: dict[int, int] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)

    def translate(self, arguments: Sequence[str]) -> list[str]:
        """The arguments with the paths and, for a client, the ports of this test."""
        return [self._translate(each) for each in arguments]

    def _translate(self, argument: str) -> str:
        for theirs, here in self.paths.items():
            argument = argument.replace(theirs, str(here))
        for port_there, port in self.ports.items():
            argument = argument.replace(f"127.0.0.1:{port_there}", f"127.0.0.1:{port}")
            # A service under its name in the cluster is no address of the loopback.
            argument = re.sub(rf"\brlmesh-[a-z]+:{port_there}\b", f"localhost:{port}", argument)
        return argument


@contextlib.contextmanager
def serving_command(arguments: Sequence[str], place: Place) -> Generator[Command]:
    """Runs `rlmesh` with a server's arguments, at free ports that it adds to the place."""
    given = place.translate(arguments)
    ports = [int(port) for port in _LISTENS.findall(" ".join(given))]
    given = [_LISTENS.sub("tcp://127.0.0.1:0", each) for each in given]
    with command(*given) as started:
        line = started.line()
        found = _SERVED.search(line)
        assert found, f"{line}{started.end()}"
        addresses = [each for each in found.groups() if each is not None]
        if ports:
            resolved = [int(each.rpartition(":")[2]) for each in addresses]
            place.ports.update(zip(ports, resolved, strict=True))
        yield started


def run_program(
    arguments: Sequence[str], place: Place, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a client's command to its end: `rlmesh ...`, or `python ...`."""
    program, *rest = place.translate(arguments)
    start = {"rlmesh": ["-m", "rlmesh"], "python": []}[program]
    return subprocess.run(
        [sys.executable, *start, *rest],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def probe_commands(*kinds: str) -> list[str]:
    """The commands of docs/readiness.md that probe a server of some kinds, such as `TLS`."""
    rows = tables("docs/readiness.md")["Probes: Server"]
    return [code(command)[0] for kind, command in rows if kind.split(", ")[0] in kinds]


def option(arguments: Sequence[str], name: str) -> str:
    """The value of an option in a list of arguments, `--name=value` or `--name value`."""
    for index, argument in enumerate(arguments):
        if argument == name:
            return arguments[index + 1]
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    raise AssertionError(f"{name} is missing in {arguments}")


def drain_seconds(arguments: Sequence[str]) -> float:
    """How long a server with these arguments takes to end at most, as its options say."""
    limits = ("--drain-timeout-seconds", "--close-timeout-seconds")
    return sum(float(option(arguments, name)) for name in limits)
