"""Writes what a recorded environment did, on its own thread."""

from __future__ import annotations

import atexit
import contextlib
import errno
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rlmesh._version import __version__
from rlmesh.contract import EnvContract
from rlmesh.recording.container import ABOUT, CALLS, ContainerWriter
from rlmesh.recording.parts import Place
from rlmesh_api.v1 import recording_pb2

FORM: Final = 1
"""The form of recordings that this version writes."""

# How often what was noted is written. A kill loses no more than this and the write itself.
_SECONDS = 0.5
# How many bytes may wait to be written; more have the environment wait.
_MOST_BYTES = 64 << 20
# A message with more is as good as two, and a reader has one in memory at once.
_MESSAGE_BYTES = 1 << 22

_log = logging.getLogger("rlmesh")
_writers: weakref.WeakSet[RecordingWriter] = weakref.WeakSet()


class RecordingError(OSError):
    """The file of a recording cannot be written any more, on a full disk for instance."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A reset or a failure, among the steps that are bytes.

    Attributes:
        calls: The fields that it adds.
        begins: Whether other calls begin with it, as with a reset.
        ends: Whether they end with it, as with a failure.
        count: How many calls it is.
    """

    calls: recording_pb2.RecordedCalls
    begins: bool
    ends: bool
    count: int
    time: int = field(default_factory=time.time_ns)


class RecordingWriter:
    """Writes one recording, part after part.

    The environment's thread adds to `items`, which needs no lock: appending to a deque and taking
    from it are one operation each. `_lock` guards all that concerns files; the thread
    `rlmesh-recording` takes it, and so does whoever waits for what was noted to be written.

    Args:
        place: Where to write.
        contract: The contract of the environment.
        digest: Whether only digests of observations are kept.
        step_bytes: About how many bytes a step has.
        stops_quietly: Whether a disk that takes nothing more ends the recording with a line in the
            log, and not with an error of the next call.

    Attributes:
        items: What was noted and not written yet: steps as bytes, and what is `Noted`.
        most: How many of them may wait.

    Raises:
        InvalidArgumentError: If the file exists.
        OSError: If it cannot be made.
        StateError: If the package `mcap` is not installed.
    """

    def __init__(
        self,
        place: Place,
        contract: EnvContract,
        *,
        digest: bool,
        step_bytes: int,
        stops_quietly: bool = False,
    ) -> None:
        self.items: deque[bytes | Noted] = deque()
        self.most: int = max(64, _MOST_BYTES // max(step_bytes, 128))
        self._lock = threading.Lock()
        self._place = place
        self._stops_quietly = stops_quietly
        self._about = recording_pb2.Recording(
            form=FORM,
            recording_id=os.urandom(16),
            contract=contract.to_proto(),
            observations=recording_pb2.KEPT_OBSERVATIONS_DIGEST
            if digest
            else recording_pb2.KEPT_OBSERVATIONS_ALL,
            versions=[
                recording_pb2.PackageVersion(name=name, version=version)
                for name, version in versions().items()
            ],
        )
        self._number = 0
        self._index = 0
        # No message, and nothing that is written at once, is larger than a part.
        self._most_at_once = min(_MESSAGE_BYTES, place.part_bytes)
        self._unwritten = 0
        self._error: RecordingError | None = None
        self._closed = False
        self._file = self._part()
        self._wake = threading.Event()
        self._thread = threading.Thread(
            target=_run, args=(weakref.ref(self), self._wake), name="rlmesh-recording", daemon=True
        )
        _writers.add(self)
        self._thread.start()

    def flush(self) -> None:
        """Writes what was noted. Any thread may call it.

        Raises:
            OSError: If it cannot be written, now or before. What was written stays.
        """
        self.write_noted()
        self.check()

    def write_noted(self) -> None:
        """As `flush`; what cannot be written is logged, and raised by the next call."""
        with self._lock:
            self._write()

    def check(self) -> None:
        """Raises what has ended the recording, if anything has.

        Raises:
            OSError: If something could not be written.
        """
        error = self._error
        if error is not None and not self._stops_quietly:
            raise RecordingError(error.errno, error.strerror)

    def close(self) -> None:
        """Writes the rest and the index, and ends the thread. May be called repeatedly.

        Raises:
            OSError: If it cannot be written, now or before. What was written stays.
        """
        self._wake.set()
        with self._lock:
            if not self._closed:
                self._write()
                self._closed = True
                self._finish()
                # What is noted from now on goes nowhere.
                self.items = deque(maxlen=0)
        if self._thread is not threading.current_thread():
            self._thread.join()
        self.check()

    def close_quietly(self) -> None:
        """As `close`; what it would raise stands in the log."""
        with contextlib.suppress(OSError):
            self.close()

    def drop(self) -> None:
        """Has what is noted from now on go nowhere: in a forked process, which has no thread."""
        self._closed = True
        self.items = deque(maxlen=0)
        # The thread that held it, if any did, is in the other process.
        self._lock = threading.Lock()

    def _write(self) -> None:
        """Writes what was noted; called with the lock held."""
        if self._closed or not self.items:
            return
        try:
            if self._error is None:
                self._add(len(self.items))
                self._flush()
                return
        except OSError as error:
            self._stop(error)
        self.items.clear()

    def _add(self, count: int) -> None:
        steps: list[bytes] = []
        size = 0
        opening: Noted | None = None
        for _ in range(count):
            item = self.items.popleft()
            if isinstance(item, bytes):
                steps.append(item)
                size += len(item)
                if size > self._most_at_once:
                    self._message(opening, steps, None)
                    opening, steps, size = None, [], 0
                    self._turn(at_reset=False)
                continue
            if item.begins:
                self._message(opening, steps, None)
                opening, steps, size = item, [], 0
                self._turn(at_reset=True)
            if item.ends:
                closing = None if item.begins else item
                self._message(opening, steps, closing)
                opening, steps, size = None, [], 0
        self._message(opening, steps, None)
        self._turn(at_reset=False)

    def _message(self, opening: Noted | None, steps: list[bytes], closing: Noted | None) -> None:
        """Adds a message of calls; nothing where there are none."""
        ends = [each for each in (opening, closing) if each is not None]
        if not ends and not steps:
            return
        pieces = [recording_pb2.RecordedCalls(index=self._index).SerializeToString()]
        if opening is not None:
            pieces.append(opening.calls.SerializeToString())
        pieces += steps
        if closing is not None:
            pieces.append(closing.calls.SerializeToString())
        moment = ends[0].time if ends else time.time_ns()
        message = b"".join(pieces)
        self._file.add(CALLS, message, moment)
        self._index += len(steps) + sum(each.count for each in ends)
        self._unwritten += len(message)
        if self._unwritten > self._most_at_once:
            self._flush()

    def _flush(self) -> None:
        self._file.flush()
        self._unwritten = 0

    def _turn(self, *, at_reset: bool) -> None:
        """Begins another part, if this one is full."""
        if self._place.is_full(self._file.size, self._file.chunks, at_reset=at_reset):
            self._file.close()
            self._number += 1
            self._file = self._part()
            self._unwritten = 0

    def _part(self) -> ContainerWriter:
        file = ContainerWriter(self._place.part(self._number), self._place.make_room)
        try:
            self._about.part = self._number
            file.add(ABOUT, self._about.SerializeToString(), time.time_ns())
            file.flush()
        except BaseException:
            file.abandon()
            raise
        return file

    def _finish(self) -> None:
        if self._error is not None:
            self._file.abandon()
            return
        try:
            self._file.close()
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        """Notes why nothing more is written, and says so."""
        reason = error.strerror or str(error)
        message = (
            f"the recording {self._file.path} ends here, because it cannot be written: {reason}"
        )
        if error.errno != errno.ENOENT:
            message += (
                ". What was written before can be read and replayed; free some space, or give "
                "max_bytes="
            )
        self._error = RecordingError(error.errno, message)
        # The next call asks, and raises it.
        self.most = -1
        if self._stops_quietly:
            self.items = deque(maxlen=0)
        _log.error("%s", message)


def versions() -> Mapping[str, str]:
    """The versions of what is in use, as a recording has them."""
    import platform
    import sys

    import numpy as np

    found = {"rlmesh": __version__, "numpy": np.__version__, "python": platform.python_version()}
    # The serving side works without it.
    gymnasium: Any = sys.modules.get("gymnasium")
    if gymnasium is not None:
        found["gymnasium"] = str(gymnasium.__version__)
    return found


def _run(writer: weakref.ref[RecordingWriter], wake: threading.Event) -> None:
    """Writes what was noted, again and again, until the writer is closed or gone."""
    while not wake.wait(_SECONDS):
        found = writer()
        if found is None:
            return
        found.write_noted()
        del found


def _close_all() -> None:
    for each in list(_writers):
        each.close_quietly()


def _drop_all() -> None:
    for each in list(_writers):
        each.drop()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_drop_all)
