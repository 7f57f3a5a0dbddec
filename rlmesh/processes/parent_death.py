"""Ends a worker with its server, and with no signal that is meant for the server."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

from rlmesh.envs.frames import frame_of
from rlmesh.envs.raised import stack_text
from rlmesh.processes.control import ControlMessage, read_message, write_message
from rlmesh_api.v1 import env_service_pb2

_PR_SET_PDEATHSIG = 1
# Where memory runs out, Linux shall take the worker that needs it, and not its server.
_OOM_SCORE = 500


def end_with_server(server: int) -> None:
    """Has the system kill this process when its server dies, whatever the worker is doing then.

    On Linux the kernel sends the signal when the thread that started this process ends; only the
    process itself can ask for it. Elsewhere the end of the control channel is the sign (see
    `StatusThread`), which goes unnoticed while native code holds the interpreter's lock.

    Args:
        server: The server's process id.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as score:
            if int(score.read()) < _OOM_SCORE:
                score.write(str(_OOM_SCORE))
    if os.getppid() != server:
        # It died before it could be tied to.
        os._exit(1)


def leave_signals_to_server() -> None:
    """Ignores SIGINT and SIGTERM in this process, because the server ends its workers itself.

    Processes that the environment starts receive the signals as usual: another program does not
    inherit a handler, and a fork sets the handlers back.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)
    os.register_at_fork(after_in_child=_restore_signals)


def _ignore(number: int, frame: FrameType | None) -> None:
    """The server ends its workers."""


def _restore_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class StatusThread:
    """A thread of a worker: reports the worker's status, and ends the worker with its server.

    Args:
        sock: The worker's end of the control channel.

    Attributes:
        deviations: Returns how many values were out of their bounds in this session, by kind. The
            worker's main thread sets it once; the status thread calls it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.deviations: Callable[[], dict[str, int]] = dict
        self._sock = sock
        self._env_thread_id = threading.get_ident()
        # A process of the environment would keep the channel open after the worker's death.
        os.register_at_fork(after_in_child=sock.close)
        threading.Thread(target=self._run, name="rlmesh-worker-status", daemon=True).start()

    def _run(self) -> None:
        while (message := read_message(self._sock)) is not None:
            kind, content = message
            if kind is ControlMessage.STATUS_REQUEST:
                answer = write_message(ControlMessage.STATUS, content + self.report())
                with contextlib.suppress(OSError):
                    self._sock.sendall(answer)
        # The server has gone: with this process end those that the environment has started.
        os.killpg(0, signal.SIGKILL)

    def report(self) -> bytes:
        """The worker's status, serialized: a `SessionStatus`, unless a subclass reports more."""
        status = env_service_pb2.SessionStatus(stack=self.stack())
        for name, count in self.deviations().items():
            status.deviations.add(kind=name, count=count)
        return status.SerializeToString()

    def stack(self) -> str:
        """Where the main thread is, the innermost frame last."""
        frame = frame_of(self._env_thread_id)
        return "" if frame is None else stack_text(frame)
