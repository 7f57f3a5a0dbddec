"""Where another thread of this process is."""

from __future__ import annotations

import gc
import sys
import threading
from types import FrameType

# Guards the state of the collector between `isenabled` and `enable`.
_lock = threading.Lock()


def frame_of(thread_id: int) -> FrameType | None:
    """The innermost frame of a thread; None where there is no such thread.

    CPython 3.11 makes objects while it holds the lock of its list of threads, and may collect
    garbage then. What collecting calls can let other threads run, and one that ends waits for that
    lock and gives no other thread a turn: the process hangs for ever
    (https://github.com/python/cpython/issues/106883). So nothing is collected meanwhile. Other
    versions collect only between two bytecodes, or make no such objects.

    Args:
        thread_id: The thread's `ident`.
    """
    if sys.version_info[:2] != (3, 11):
        return sys._current_frames().get(thread_id)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # documented, and the only way
    with _lock:
        collects = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames().get(thread_id)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # as above
        finally:
            if collects:
                gc.enable()
