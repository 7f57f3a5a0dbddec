"""A worker process from outside: started, watched, asked for its status, and ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from typing import IO, cast

from rlmesh.processes.control import BadControlError, ControlChannel, ControlMessage, write_message
from rlmesh.processes.spawn import launch
from rlmesh.processes.stack_dump import make_stack_dump, record
from rlmesh.processes.supervisor import Supervisor

# How many bytes of a worker's stderr are kept, and how many lines a message about its death shows.
_KEPT = 8192
_STDERR = 2
_SHOWN_LINES = 20
# How long a worker may take to exit by itself, and to die once it was killed.
_DYING_SECONDS = 5.0


class WorkerProcess:
    """A worker, from its start to its end.

    The supervisor's thread receives from it and notes its death; any thread may kill it. `_lock`
    guards `dead`, `last_stack` and `_why_killed`, so that no signal reaches a process id that the
    system has given to another process. `_status_lock` lets one thread at a time ask for a status.

    Args:
        supervisor: Where it is started and watched.
        spec: What it is to make, pickled.
        module: The name of the module whose `main` it runs; see `launch`.
        descriptors: Further descriptors that it gets, in the end of `main`'s arguments.

    Attributes:
        pid: Its process id.
        calls: This side's end of the socket that the calls go through.
        lifeline: A descriptor that is readable when it has died; None where there is none.
        dead: Whether it has died.
        last_stack: Where the environment was when the worker was killed in the middle of a call,
            the innermost frame last; None where it was not.

    Raises:
        OSError: If no process can be started.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        spec: bytes,
        module: str,
        descriptors: Sequence[int] = (),
    ) -> None:
        self._descriptors = descriptors
        self.dead: bool = False
        self.last_stack: str | None = None
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._died = threading.Event()
        self._why_killed: str | None = None
        self._exit_code: int | None = None
        self._answer: tuple[ControlMessage, bytes] | None = None
        self._answered = threading.Event()
        self._status_lock = threading.Lock()
        self._last_request = 0
        self._status: tuple[int, bytes] = (0, b"")
        self._status_arrived = threading.Event()
        self._incoming = ControlChannel()
        self._last_words = bytearray()
        self.calls: socket.socket
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            self.calls, their_calls = socket.socketpair()
            undo.enter_context(self.calls)
            theirs.enter_context(their_calls)
            self._control, their_control = socket.socketpair()
            undo.enter_context(self._control)
            theirs.enter_context(their_control)
            supervisor.do(lambda: self._start(module, their_calls, their_control))
            undo.pop_all()
        with contextlib.suppress(OSError):  # it has died at once
            self._control.sendall(write_message(ControlMessage.SPEC, spec))

    def _start(self, module: str, calls: socket.socket, control: socket.socket) -> None:
        self._stack_dump = make_stack_dump()
        try:
            self._process = launch(
                module, calls.fileno(), control.fileno(), self._stack_dump, self._descriptors
            )
        finally:
            # Where this side needs it, it opens the worker's.
            if self._stack_dump >= 0:
                os.close(self._stack_dump)
        self.pid: int = self._process.pid
        self._stderr: IO[bytes] = cast("IO[bytes]", self._process.stderr)
        os.set_blocking(self._stderr.fileno(), False)
        self.lifeline: int | None = _lifeline(self.pid)
        self._supervisor.watch(self._stderr.fileno(), self._receive_stderr)
        self._supervisor.watch(self._control.fileno(), self._receive_message)
        if self.lifeline is not None:
            self._supervisor.watch(self.lifeline, self._bury)

    @property
    def going(self) -> bool:
        """Whether it lives; the system is asked, so this is ahead of `dead`."""
        lifeline = self.lifeline
        return not (self.dead or (lifeline is not None and _ready(lifeline, select.POLLIN)))

    def wait_for_answer(self, timeout: float | None) -> tuple[ControlMessage, bytes] | None:
        """Waits until the worker has made its environment, or failed to.

        Args:
            timeout: For how many seconds; None: for ever.

        Returns:
            The worker's answer; None if it died, or did not answer in time.
        """
        self._answered.wait(timeout)
        return self._answer

    def ask(self, timeout: float) -> bytes | None:
        """The worker's status at this moment, a serialized `SessionStatus`; None: no answer.

        A worker whose environment holds the interpreter lock cannot answer. Until it does, later
        calls return None at once.
        """
        with self._status_lock:
            if self.dead or self._last_request != self._status[0]:
                return None
            self._last_request += 1
            self._status_arrived.clear()
            request = write_message(
                ControlMessage.STATUS_REQUEST, self._last_request.to_bytes(8, "big")
            )
            with contextlib.suppress(OSError):  # it has died
                self._control.send(request, socket.MSG_DONTWAIT)
            self._status_arrived.wait(timeout)
            number, content = self._status
            return content if number == self._last_request else None

    def abandon(self, why: str) -> None:
        """Kills it in the middle of a call, and keeps the stack of that call; see `kill`."""
        with self._lock:
            if not self.dead and self.last_stack is None:
                self.last_stack = record(self.pid, self._stack_dump)
        self.kill(why)

    def kill(self, why: str) -> None:
        """Kills it and what it has started. Any thread may, repeatedly; the first reason counts.

        Args:
            why: What goes into the message, after `its worker process was ended, as`.
        """
        with self._lock:
            if self.dead:
                return
            self._why_killed = self._why_killed or why
            self._kill_group()

    def wait(self, timeout: float) -> bool:
        """Waits for its death; whether it has died."""
        return self._died.wait(timeout)

    def end(self) -> None:
        """Waits for its death, kills it if need be, closes the lifeline. One thread may call it."""
        if not self._died.wait(_DYING_SECONDS):
            self.kill("it did not exit")
        if self._died.wait(_DYING_SECONDS) and self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None

    def account(self) -> str:
        """How it died, for a message."""
        code = self._exit_code
        if self._why_killed is not None:
            how = f"was ended, as {self._why_killed}"
        elif not self.dead:
            how = "has gone"
        elif code is None:
            how = (
                "died, and the system does not report how, because the server's process ignores "
                "SIGCHLD (signal.signal(signal.SIGCHLD, signal.SIG_DFL) changes that)"
            )
        elif code >= 0:
            how = f"exited with code {code}"
        else:
            how = f"was killed by {_signal_name(-code)}"
            if -code == signal.SIGKILL:
                how += ", which the system sends when memory runs out"
        text = f"its worker process (pid {self.pid}) {how}"
        lines = bytes(self._last_words).decode(errors="backslashreplace").splitlines()
        # Python adds this line to every fatal error; it says nothing about this one.
        lines = [line for line in lines if not line.startswith("Extension modules: ")]
        words = "\n".join(lines[-_SHOWN_LINES:]).strip()
        return f"{text}. The last that it wrote to stderr:\n{words}" if words else text

    def _receive_stderr(self) -> None:
        with contextlib.suppress(BlockingIOError):
            piece = os.read(self._stderr.fileno(), select.PIPE_BUF)
            if not piece:
                self._supervisor.forget(self._stderr.fileno())
                return
            self._last_words += piece
            del self._last_words[:-_KEPT]
            # PIPE_BUF bytes are written without waiting. If stderr is full, the piece is dropped.
            if _ready(_STDERR, select.POLLOUT):
                os.write(_STDERR, piece)

    def _receive_message(self) -> None:
        try:
            piece = self._control.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._supervisor.forget(self._control.fileno())
            if self.lifeline is None:
                self._bury()
            return
        try:
            for kind, content in self._incoming.feed(piece):
                if kind is ControlMessage.STATUS:
                    self._status = int.from_bytes(content[:8], "big"), content[8:]
                    self._status_arrived.set()
                else:
                    self._answer = kind, content
                    self._answered.set()
        except BadControlError as error:
            self._supervisor.forget(self._control.fileno())
            self.kill(f"it sent what cannot be: {error}")
            if self.lifeline is None:
                self._bury()

    def _bury(self) -> None:
        """Notes its death, which has happened or is about to; on the supervisor's thread."""
        if self.lifeline is not None:
            self._supervisor.forget(self.lifeline)
        with self._lock:
            # Once waited for, its process id may belong to another process.
            self._kill_group()
            self._exit_code = _exit_code(self._process)
            self.dead = True
        for descriptor, receive in (
            (self._stderr.fileno(), self._receive_stderr),
            (self._control.fileno(), self._receive_message),
        ):
            # What it wrote before it died is readable already.
            while self._supervisor.watches(descriptor) and _ready(descriptor, select.POLLIN):
                receive()
            if self._supervisor.watches(descriptor):
                self._supervisor.forget(descriptor)
        self._stderr.close()
        self._control.close()
        self._died.set()
        self._answered.set()
        self._status_arrived.set()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Waits for the end of a process; None where the system does not keep its exit code.

    `Popen.wait` gives 0 there, as if the process had succeeded.
    """
    try:
        _, status = os.waitpid(process.pid, 0)
    except ChildProcessError:
        code = None
    else:
        code = os.waitstatus_to_exitcode(status)
    # So that `Popen` does not wait for the process itself.
    process.returncode = 0 if code is None else code
    return code


def _lifeline(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, or an old one
        return None


def _ready(descriptor: int, event: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return any(events & (event | select.POLLHUP) for _, events in poll.poll(0))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
