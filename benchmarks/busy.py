"""Processes that do nothing but take processor time, beside what is measured."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Generator

# It ends with its parent, however that ends.
_SPIN = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""


@contextlib.contextmanager
def spinning(count: int) -> Generator[None]:
    """Has so many processes spin for as long as the context lasts."""
    processes = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
