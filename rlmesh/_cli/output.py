"""Output that never waits for its reader: the log and the messages of a command that serves."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import IO

from typing_extensions import Self

from rlmesh.server.signals import exit_at_once

LONGEST_QUEUE = 1 << 20
"""How many characters wait at most for a reader; what goes beyond is dropped and counted."""

_FLUSH_SECONDS = 1.0
_LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"


class LineWriter:
    """Writes lines on a descriptor, on its own daemon thread.

    Where nothing reads what is written, the thread waits, and lines beyond `LONGEST_QUEUE` are
    dropped. The next line that is written then says how many. A forked process, which has no such
    thread, writes by itself.

    Args:
        descriptor: The descriptor, which stays open.
        encoding: The encoding; a letter that it lacks is spelled out.
    """

    def __init__(self, descriptor: int, encoding: str) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._pieces = _PieceQueue(LONGEST_QUEUE)
        # Guards `_dropped`.
        self._lock = threading.Lock()
        self._dropped = 0
        self._process = os.getpid()
        threading.Thread(target=self._run, name="rlmesh-output", daemon=True).start()

    def put(self, line: str) -> None:
        """Has a line written, or drops it. It returns at once; any thread may call it."""
        if os.getpid() != self._process:
            self._write(f"{line}\n")
            return
        with self._lock:
            try:
                self._pieces.put_nowait(f"{self._notice()}{line}\n")
            except queue.Full:
                self._dropped += 1
            else:
                self._dropped = 0

    def flush(self, seconds: float) -> bool:
        """Waits until everything is written, `seconds` at most; whether it is."""
        if os.getpid() != self._process:
            return True
        deadline = time.monotonic() + seconds
        if not self._pieces.wait_until_written(deadline):
            return False
        with self._lock:
            if (notice := self._notice()) and self._pieces.empty():
                self._pieces.put_nowait(notice)
                self._dropped = 0
        return self._pieces.wait_until_written(deadline)

    def _notice(self) -> str:
        """What to say of the dropped lines; called with the lock held."""
        if not self._dropped:
            return ""
        lines = "1 line was" if self._dropped == 1 else f"{self._dropped} lines were"
        return f"... {lines} dropped here, because nothing read the output\n"

    def _run(self) -> None:
        while True:
            self._write(self._pieces.get())
            self._pieces.task_done()

    def _write(self, piece: str) -> None:
        # Not through sys.stderr: a thread that waits in there holds a lock, which Python needs when
        # it exits.
        data = memoryview(piece.encode(self._encoding, "backslashreplace"))
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # The program that started this one has made the descriptor non-blocking.
                waiting = select.poll()
                waiting.register(self._descriptor, select.POLLOUT)
                waiting.poll()
            except OSError:
                # The reader has gone, and nobody would read why.
                return


class _PieceQueue(queue.Queue[str]):
    """A queue whose size is the number of its characters. No piece is empty."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._characters = 0

    def _qsize(self) -> int:
        return self._characters

    def _put(self, item: str) -> None:
        super()._put(item)
        self._characters += len(item)

    def _get(self) -> str:
        item = super()._get()
        self._characters -= len(item)
        return item

    def wait_until_written(self, deadline: float) -> bool:
        """As `join`, until `deadline` on the monotonic clock; whether all is written."""
        with self.all_tasks_done:
            return self.all_tasks_done.wait_for(
                lambda: not self.unfinished_tasks, max(0.0, deadline - time.monotonic())
            )


class LogHandler(logging.handlers.QueueHandler):
    """Hands the lines of the log to a `LineWriter`, so that no call waits for them to be written.

    Args:
        writer: The writer.
    """

    def __init__(self, writer: LineWriter) -> None:
        # The base class hands records to a queue; `enqueue` replaces that.
        super().__init__(queue.SimpleQueue())
        self._writer = writer
        self.setFormatter(logging.Formatter(_LOG_FORMAT))

    def enqueue(self, record: logging.LogRecord) -> None:
        """Hands over a record, whose message is the formatted text by now."""
        self._writer.put(record.getMessage())


class Output:
    """What a command that serves writes: its log, its errors, and the line with its address.

    As a context manager it waits at the end, a second at most, until everything is written. Python
    itself would wait for the reader without a limit when it exits. So where nothing reads, the
    process ends there, with the exit code that it would have had.

    Args:
        verbose: Whether the log of RLMesh has the lines of the level INFO too.
    """

    def __init__(self, *, verbose: bool) -> None:
        self._stdout = LineWriter(1, _encoding(sys.stdout))
        self._stderr = LineWriter(2, _encoding(sys.stderr))
        logging.basicConfig(handlers=[LogHandler(self._stderr)])
        if verbose:
            logging.getLogger("rlmesh").setLevel(logging.INFO)

    def say(self, line: str) -> None:
        """Writes a line on standard output."""
        self._stdout.put(line)

    def complain(self, text: str) -> None:
        """Writes a text on standard error."""
        self._stderr.put(text)

    def flush(self) -> bool:
        """Waits a second at most until everything is written; whether it is."""
        deadline = time.monotonic() + _FLUSH_SECONDS
        streams = threading.Thread(target=_flush, args=((sys.stdout, sys.stderr),), daemon=True)
        streams.start()
        written = [
            writer.flush(max(0.0, deadline - time.monotonic()))
            for writer in (self._stdout, self._stderr)
        ]
        streams.join(max(0.0, deadline - time.monotonic()))
        return all(written) and not streams.is_alive()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Writes what is left, or ends the process."""
        if not self.flush():
            exit_at_once(_exit_code(error))


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    code = error.code if isinstance(error, SystemExit) else 1
    return code if isinstance(code, int) else 1


def _flush(streams: Iterable[IO[str]]) -> None:
    """Runs on its own thread."""
    for stream in streams:
        # Python reports a reader that has gone by itself, when it exits.
        with contextlib.suppress(OSError):
            stream.flush()


def _encoding(stream: object) -> str:
    # What stands in for a stream in a test may have none.
    return getattr(stream, "encoding", None) or "utf-8"
