"""What one input may cost.

Counted is processor time, and memory that was touched: a machine that is busy with something else
changes neither.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator

from fuzz.target import Feed, FindingError

MOST_SECONDS = 2.0
"""Of processor time. Inputs take a ten-thousandth of it."""
MOST_BYTES = 48 << 20
"""That the process may grow by while it decodes an input of some kilobytes."""

_CLEAR_PEAK = b"5"  # what the kernel takes in clear_refs, see proc(5)


@contextlib.contextmanager
def guarded(feed: Feed) -> Generator[Feed]:
    """What feeds within the limits, and raises FindingError for an input that takes more."""
    with _peak() as peak:

        def fed(data: bytes) -> None:
            began, before = time.thread_time(), peak(True)
            feed(data)
            took, more = time.thread_time() - began, peak(False) - before
            if took > MOST_SECONDS:
                raise FindingError(f"{len(data)} bytes took {took:.1f} s of processor time")
            if more > MOST_BYTES:
                raise FindingError(f"{len(data)} bytes took {more >> 20} MiB of memory")

        yield fed


@contextlib.contextmanager
def _peak() -> Generator[Callable[[bool], int]]:
    """What gives the most memory that the process has had since the last reset of that number.

    Only Linux keeps a peak that is over, and allows a reset.
    """
    if sys.platform != "linux":
        yield lambda _: 0
        return
    reset = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)

    def peak(forget: bool) -> int:
        if forget:
            os.pwrite(reset, _CLEAR_PEAK, 0)
        text = os.pread(status, 1 << 13, 0)
        return int(text.partition(b"VmHWM:")[2].split(maxsplit=1)[0]) << 10

    try:
        yield peak
    finally:
        os.close(reset)
        os.close(status)
