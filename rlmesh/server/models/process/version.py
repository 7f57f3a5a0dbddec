"""A version of a model in a worker process, which another one replaces where it dies."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from google.protobuf.message import DecodeError

from rlmesh.contract import ModelContract, compare_contracts
from rlmesh.processes.control import ControlMessage
from rlmesh.server.call_thread import CallThread
from rlmesh.server.failures import CallFailedError, another_contract, draining, failed, log_text
from rlmesh.server.models.process.factory import ModelWorkerFactory
from rlmesh.server.models.process.model_process import Line, ModelProcess
from rlmesh.server.sessions.endpoint import ThreadStoppedError
from rlmesh.transports.failures import error_from_failure, error_of_making
from rlmesh.transports.pipe import BadFrameError, Pipe, WakeReason
from rlmesh.transports.shm.segment import BadSegmentError
from rlmesh.transports.worker import take_pipe
from rlmesh_api.v1 import contract_pb2, env_service_pb2, session_pb2

_log = logging.getLogger("rlmesh.server")

# How long a model may take to be made again: three times as long as the first, or this.
_START_SECONDS = 60.0
# How long a status request waits for a worker's answer.
_STATUS_SECONDS = 0.15
# How long a worker that has closed a pipe may take to die.
_DYING_SECONDS = 5.0
# How long after one worker was started again the next one is, unless a call needs it sooner.
_PAUSE_SECONDS = 5.0

OnReady = Callable[[bool], None]
"""Called with whether the model answers, when that changes."""


class ProcessVersion:
    """A version of a model whose calls are in a worker process; see `ModelVersion`.

    Its thread makes no call of the model: it starts, warms up and ends workers. `_lock` guards the
    change from one worker to the next; who waits for it waits for the model to be made again.

    Args:
        factory: Starts workers.
        number: Its number, from 1.

    Attributes:
        number: As given.
        contract: The model's contract.
        thread: See above.
        sessions: How many sessions have it, which the served model counts.
        ready: Whether it is warmed up.
        retired: Whether it has been replaced by another version and no episode has it any more.
        on_ready: Called when the model stops to answer, and when it answers again.
        closing: Whether it takes no more calls.

    Raises:
        RlmeshError: If the model could not be made; its process has ended then.
    """

    made = None
    backend: Any = None

    def __init__(self, factory: ModelWorkerFactory, number: int) -> None:
        self.number: int = number
        self.thread: CallThread = CallThread("rlmesh-model")
        self.sessions: int = 0
        self.ready: bool = False
        self.retired: bool = False
        self.closing: bool = False
        self.on_ready: OnReady = _ignore
        self._factory = factory
        self._lock = threading.Lock()
        self._keys = itertools.count(1)
        # What sessions are waiting for, by their key, and since when; for the status.
        self._waiting: dict[int, tuple[str, float]] = {}
        self._start_timeout: float | None = None
        self._starting: ModelProcess | None = None
        self._restarted = -_PAUSE_SECONDS
        self._timer: threading.Timer | None = None
        began = monotonic()
        try:
            self._worker, self._own, contract = self._started()
            self.contract: ModelContract = contract
        except CallFailedError as error:
            raise error_of_making(error.failure) from error
        self._start_timeout = max(_START_SECONDS, 3 * (monotonic() - began))

    def enter(self, call: session_pb2.OpenCall) -> None:
        """Nothing: no session holds it."""

    def new_key(self) -> int:
        """A key for a session. Any thread may ask."""
        return next(self._keys)

    def warm_up(self, then: Callable[[BaseException | None], None]) -> None:
        """Has the model warm up in its worker; does not wait.

        Args:
            then: Called on the version's thread afterwards, with what went wrong or None.
        """

        def run() -> None:
            found: BaseException | None = None
            try:
                self._warm(self._worker, self._own)
                self.ready = True
            except CallFailedError as error:
                found = error_from_failure(error.failure, "the worker process")
            except Exception as error:  # noqa: BLE001 - `then` hands it to the user
                found = error
            then(found)

        self.thread.post(run, name="warmup")

    def connect(self, key: int) -> Line:
        """A session's pipe to the model, in another worker if the last one has died.

        Raises:
            CallFailedError: If the model cannot be made again, or the server ends.
        """
        with self._lock:
            self._restore()
            try:
                return self._worker.open_line(key)
            except (OSError, BadSegmentError) as error:
                raise self.lost(self._worker, "before it was called") from error

    def note(self, key: int, name: str | None) -> None:
        """Notes what a session waits for; None: nothing."""
        if name is None:
            self._waiting.pop(key, None)
        else:
            self._waiting[key] = name, monotonic()

    def lost(self, worker: ModelProcess, when: str) -> CallFailedError:
        """Why a worker that has closed a pipe gives no answer; it is dead afterwards.

        Args:
            worker: The worker.
            when: In which call it died, for the message.
        """
        if not worker.wait(_DYING_SECONDS):
            worker.kill("it has closed its end of a connection")
            worker.wait(_DYING_SECONDS)
        text = f"the model crashed {when}: {worker.account()}"
        if worker.last_stack:
            text = f"{text}\nIt was at\n{worker.last_stack}"
        rest = (
            "The state of its sessions is gone; each begins again with a reset, in a new process"
            if self.contract.keeps_state
            else "The next call is answered in a new process"
        )
        return failed(session_pb2.ERROR_CODE_MODEL_CRASHED, f"{text}\n{rest}")

    def stack(self) -> str:
        """Where the model is, as far as the worker reports; empty between calls."""
        status = self._ask_status()
        return "" if status is None else status.stack

    def deviations(self, key: int) -> dict[str, int]:
        """How many of a session's actions were out of their bounds, by kind."""
        report = self._ask_report()
        sessions = () if report is None else report.sessions
        return {
            each.kind: each.count
            for session in sessions
            if session.session_id == str(key)
            for each in session.deviations
        }

    def status(self) -> env_service_pb2.ModelStatus:
        """What the model is doing. Any thread may ask."""
        status = self._ask_status() or env_service_pb2.ModelStatus()
        status.name, status.version, status.ready = self.contract.id, self.number, self.ready
        return status

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Kills the worker in a shutdown, so that a call in progress ends at once.

        Before that it answers other sessions, so that it returns False.
        """
        if not self.closing:
            return False
        for worker in (self._starting, self._worker):
            if worker is not None:
                worker.abandon(reason)
        return True

    def close(self) -> None:
        """Has the worker answer what waits, close the model and exit; once, on the thread."""
        if self.closing:
            return
        self.closing = True
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            worker = self._worker
            try:
                if worker.going:
                    close = session_pb2.SessionRequest(close=session_pb2.CloseCall())
                    self._ask(worker, self._own, close, "close")
            except CallFailedError as error:
                _log.error("%s", log_text(error.failure))
            self._discard()

    def discard(self) -> None:
        """Kills the worker, because there will be no server."""
        self.closing = True
        self._worker.kill("there is no server for it")
        self._discard()

    def retire(self) -> None:
        """Closes the model and ends its thread. Does not wait."""
        self.retired = True
        try:
            self.thread.post(self.close, name="close")
        except ThreadStoppedError:
            # The server ends, and closes it.
            return
        self.thread.stop()

    def _started(self) -> tuple[ModelProcess, Pipe, ModelContract]:
        """Starts a worker, and waits until its model is made.

        Raises:
            CallFailedError: If there is none.
        """
        worker = self._starting = self._factory.start(self._died)
        try:
            contract = self._await_model(worker)
            own, _ = take_pipe(worker.calls)
            if worker.lifeline is not None:
                own.watch(worker.lifeline)
        except BaseException as error:
            worker.kill("there is no model in it")
            worker.end()
            worker.calls.close()
            if isinstance(error, OSError):
                raise self._not_made(worker) from error
            raise
        finally:
            self._starting = None
        return worker, own, contract

    def _await_model(self, worker: ModelProcess) -> ModelContract:
        timeout = self._start_timeout
        answer = worker.wait_for_answer(timeout)
        if answer is None:
            worker.kill(f"the model was not there after {timeout} s")
            worker.wait(_DYING_SECONDS)
            raise self._not_made(worker)
        kind, content = answer
        if kind is ControlMessage.FAILURE:
            raise CallFailedError(session_pb2.Failure.FromString(content))
        return ModelContract.from_proto(contract_pb2.ModelContract.FromString(content))

    def _not_made(self, worker: ModelProcess) -> CallFailedError:
        return failed(
            session_pb2.ERROR_CODE_MODEL_CRASHED,
            f"the model crashed while it was made: {worker.account()}",
        )

    def _warm(self, worker: ModelProcess, own: Pipe) -> None:
        request = session_pb2.SessionRequest(open=session_pb2.OpenCall())
        self._ask(worker, own, request, "warmup")

    def _ask(
        self, worker: ModelProcess, own: Pipe, request: session_pb2.SessionRequest, name: str
    ) -> None:
        """Makes a call of the server's own.

        Raises:
            CallFailedError: If it fails, or the worker dies.
        """
        own.send(request.SerializeToString())
        try:
            received = own.receive()
        except BadFrameError as error:
            worker.kill(f"it sent what cannot be: {error}")
            received = WakeReason.GONE
        if isinstance(received, WakeReason):
            raise self.lost(worker, f"in {name}()")
        buffer, start, end = received
        answer = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
        if answer.HasField("failure"):
            raise CallFailedError(answer.failure)

    def _restore(self) -> None:
        """Starts another worker if the last one has died. Called with the lock held.

        Raises:
            CallFailedError: If the model cannot be made again, or the server ends.
        """
        if self.closing:
            raise CallFailedError(draining())
        if self._worker.going:
            return
        self.ready = False
        self.on_ready(False)
        self._restarted = monotonic()
        self._discard()
        worker, own, contract = self._started()
        try:
            differences = compare_contracts(self.contract, contract)
            if differences:
                raise failed(session_pb2.ERROR_CODE_MODEL, another_contract(differences))
            self._warm(worker, own)
        except BaseException:
            worker.kill("it is of no use")
            worker.end()
            own.release()
            raise
        self._worker, self._own = worker, own
        self.ready = True
        self.on_ready(True)
        _log.warning("the model %s starts again, in process %d", self.contract.id, worker.pid)

    def _died(self, worker: ModelProcess) -> None:
        """A worker has died; on the supervisor's thread."""
        if self.closing or not self.ready or worker is not self._worker:
            return
        self.ready = False
        self.on_ready(False)
        pause = self._restarted + _PAUSE_SECONDS - monotonic()
        if pause <= 0:
            self._post_restart()
            return
        timer = self._timer = threading.Timer(pause, self._post_restart)
        timer.daemon = True
        timer.start()

    def _post_restart(self) -> None:
        try:
            self.thread.post(self._start_again, name="restart")
        except ThreadStoppedError:
            # The server ends.
            return

    def _start_again(self) -> None:
        with self._lock:
            if self.closing:
                return
            try:
                self._restore()
            except CallFailedError as error:
                # The next call tries again.
                _log.error("%s", log_text(error.failure))

    def _discard(self) -> None:
        """Releases what this side has of the worker, and waits for its end."""
        self._own.release()
        self._worker.end()

    def _ask_status(self) -> env_service_pb2.ModelStatus | None:
        waiting = min(self._waiting.values(), key=lambda each: each[1], default=None)
        report = self._ask_report()
        if report is not None and report.models:
            return report.models[0]
        if self.closing and self._worker.dead:
            return None
        worker = self._starting or self._worker
        status = env_service_pb2.ModelStatus(
            stack=f"unknown, in native code that holds the interpreter lock of the worker process "
            f"(pid {worker.pid})\n"
        )
        if self._starting is not None or worker.dead:
            status.call = "load"
            status.stack = f"the worker process (pid {worker.pid}) is starting\n"
        elif waiting is not None:
            status.call, status.busy_seconds = waiting[0], monotonic() - waiting[1]
        return status

    def _ask_report(self) -> env_service_pb2.GetStatusResponse | None:
        worker = self._starting or self._worker
        content = worker.ask(_STATUS_SECONDS)
        if content is None:
            return None
        try:
            return env_service_pb2.GetStatusResponse.FromString(content)
        except DecodeError:
            return None


def _ignore(ready: bool) -> None:
    """Nobody listens yet."""
