"""Reading where a thread is hangs no process."""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any

import pytest

from rlmesh.envs.frames import frame_of


def waits(reached: threading.Event, go_on: threading.Event) -> None:
    reached.set()
    go_on.wait()


def test_nothing_is_collected_while_the_frames_of_threads_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = False
    collected: list[str] = []
    read = sys._current_frames

    def noted() -> Any:
        nonlocal reading
        reading = True
        try:
            return read()
        finally:
            reading = False

    def note(phase: str, _: Any) -> None:
        # Here another thread may have its turn, and end.
        if reading:
            collected.append(phase)

    reached, go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=waits, args=(reached, go_on))
    thread.start()
    assert reached.wait(60)
    monkeypatch.setattr(sys, "_current_frames", noted)
    threshold = gc.get_threshold()
    gc.callbacks.append(note)
    gc.set_threshold(1, 1, 1)
    try:
        frame = frame_of(thread.ident or 0)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(note)
        go_on.set()
        thread.join()
    assert gc.isenabled()
    assert collected == []
    assert frame is not None
    while frame.f_code is not waits.__code__:
        frame = frame.f_back
        assert frame is not None
