"""What a process holds, as Linux reports it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds at one moment.

    Attributes:
        memory: Its resident memory in bytes, without what it shares with other processes: the two
            count a segment of shared memory once, where it ends.
        threads: How many threads it has.
        descriptors: How many descriptors are open.
    """

    memory: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Sample:
        """What the process with that id holds now."""
        folder = Path(f"/proc/{pid}")
        resident, shared = (folder / "statm").read_text().split()[1:3]
        return cls(
            memory=(int(resident) - int(shared)) * _PAGE,
            threads=len(os.listdir(folder / "task")),
            descriptors=len(os.listdir(folder / "fd")),
        )
