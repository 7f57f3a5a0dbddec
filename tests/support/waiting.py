"""Waits for what another process brings about, where there is nothing to wait on."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], timeout: float = 60.0) -> None:
    """Returns when something holds; fails after so many seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.05)
