"""Hosts of their own on this machine: network namespaces, joined by a bridge."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import pytest

from support.waiting import wait_until


@dataclass(frozen=True)
class Host:
    """A network of its own for processes; all else they share with this machine.

    Attributes:
        name: Its name.
        address: Its IP address on the bridge.
        bridge: The host that the bridge is on.
        cable: The device there that leads to this host.
    """

    name: str
    address: str
    bridge: str
    cable: str

    @property
    def prefix(self) -> list[str]:
        """What stands before a command that runs there."""
        return ["ip", "netns", "exec", self.name]

    def pids(self) -> list[int]:
        """The processes that run there."""
        return [int(pid) for pid in _ip("netns", "pids", self.name).split()]

    def listening(self) -> set[str]:
        """The TCP ports on which somebody listens there."""
        command = [*self.prefix, "ss", "--no-header", "--tcp", "--listening", "--numeric"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return {line.split()[3].rpartition(":")[2] for line in lines.splitlines()}

    def cut(self) -> None:
        """Cuts its cable: it is silent from now on, as a machine without power is."""
        _ip("-n", self.bridge, "link", "set", self.cable, "down")

    def kill(self) -> None:
        """Kills all of its processes, and those that they start meanwhile."""

        def is_empty() -> bool:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.pids()

        wait_until(is_empty)


@contextlib.contextmanager
def joined_hosts(count: int) -> Generator[list[Host]]:
    """Hosts that reach each other; skips the test where this machine does not let us make them.

    Args:
        count: How many there are.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need the rights of root and the tool ip")
    bridge = f"rlmesh-{os.getpid()}-1"
    hosts = [
        # The bridge itself leads to the host that it is on.
        Host(bridge, "10.77.1.1", bridge, "line"),
        *(
            Host(f"rlmesh-{os.getpid()}-{n}", f"10.77.1.{n}", bridge, f"to-{n}")
            for n in range(2, count + 1)
        ),
    ]
    with contextlib.ExitStack() as stack:
        for host in hosts:
            try:
                _ip("netns", "add", host.name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"this machine allows no network namespaces: {error.stderr.strip()}")
            stack.callback(_ip, "netns", "delete", host.name)
            stack.callback(host.kill)
            _ip("-n", host.name, "link", "set", "lo", "up")
        _ip("-n", bridge, "link", "add", "line", "type", "bridge")
        for host in hosts[1:]:
            other_end = ("type", "veth", "peer", "name", "line", "netns", host.name)
            _ip("-n", bridge, "link", "add", host.cable, *other_end)
            _ip("-n", bridge, "link", "set", host.cable, "master", "line", "up")
        for host in hosts:
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "line")
            _ip("-n", host.name, "link", "set", "line", "up")
        yield hosts


def _ip(*arguments: str) -> str:
    command: Sequence[str] = ("ip", *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
