"""A process without free descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Generator


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    # The listing itself has one.
    return len(os.listdir("/proc/self/fd")) - 1


@contextlib.contextmanager
def free_descriptors(number: int) -> Generator[None]:
    """Leaves this process that many descriptors to open, while the block runs."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    held: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + number + 8, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        for _ in range(number):
            os.close(held.pop())
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
