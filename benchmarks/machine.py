"""What a run was made on, in words that name no host."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rlmesh import compiled

_LIBRARIES = (
    "gymnasium",
    "numpy",
    "grpcio",
    "protobuf",
    "msgpack",
    "pyzmq",
    "websockets",
    "dm-env-rpc",
    "ray",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine and what is installed on it.

    Attributes:
        cpu: The processor's model.
        cores: How many cores the run may use.
        memory_gib: The machine's memory.
        system: The operating system, with its version.
        python: Python's implementation and version.
        libraries: Versions by name, those that are installed.
        step: How RLMesh runs what every step passes: `compiled`, or `pure Python` and why. Empty
            for runs from before it could be compiled.
    """

    cpu: str
    cores: int
    memory_gib: int
    system: str
    python: str
    libraries: dict[str, str]
    step: str = ""

    @classmethod
    def here(cls) -> Machine:
        """This one."""
        version = ".".join(platform.release().split(".")[:2])
        return cls(
            cpu=_value("/proc/cpuinfo", "model name") or platform.machine(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=round(
                int((_value("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20
            ),
            system=f"{platform.system()} {version}",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            libraries=dict(_installed(_LIBRARIES)),
            step=compiled.describe(),
        )


def _installed(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _value(path: str, name: str) -> str | None:
    """What stands behind a name in a file of `name: value` lines."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
