"""The backend of an environment in a worker process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from google.protobuf.message import DecodeError

from rlmesh.codec.slab.layout import compile_layout
from rlmesh.codec.step.result import compile_step_result
from rlmesh.codec.step.wire import FAILURE, PREFIX, write_action
from rlmesh.contract import AutoresetMode, EnvContract, compare_contracts
from rlmesh.server.envs.autoreset import requested_mode
from rlmesh.server.envs.backend import DEPENDENT, Step
from rlmesh.server.envs.process.call_page import NotedCall
from rlmesh.server.envs.process.env_worker import EnvWorker
from rlmesh.server.envs.process.handshake import await_env
from rlmesh.server.envs.process.lent_episodes import LentEpisodes
from rlmesh.server.envs.process.lent_timings import LentTimings
from rlmesh.server.envs.process.loan import Loan
from rlmesh.server.envs.watch import RENDERED, EnvWatch
from rlmesh.server.failures import CallFailedError, another_contract, failed, log_text
from rlmesh.server.sessions.endpoint import LoanEnd
from rlmesh.server.sessions.requests import Request, write_answer
from rlmesh.server.timings import Timings
from rlmesh.transports.pipe import BadFrameError, Outbox, Pipe, Received, WakeReason
from rlmesh.transports.shm.lending import LendableShmPipe
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh.transports.tcp.lending import LendableTcpPipe
from rlmesh_api.v1 import env_service_pb2, session_pb2

_log = logging.getLogger("rlmesh.server")

# A message up to this size is copied faster as bytes than through a view.
_SMALL = 1 << 14
# How long an environment's `close` may take, unless a shutdown gives it less.
_CLOSING_SECONDS = 60.0
# How long a status request waits for a worker's answer.
_STATUS_SECONDS = 0.15


class ProcessBackend:
    """An environment in a worker process. Only the slot's thread calls it, except where noted.

    When the worker dies, the call in progress fails, or else the next one. Every later call fails
    too, until a reset or another session starts another worker.

    Args:
        start: Starts a worker.
        start_timeout: For how many seconds to wait until its environment is there; None: for ever.

    Attributes:
        contract: The environment's contract.
        plan: How much shared memory the calls take.
        hot: Steps it.
        dependent: The calls that depend on the call before.
        timings: How long this session's calls took.
        episodes: This session's episodes, which the workers count if they are to.
        start_timeout: As given.
    """

    dependent = DEPENDENT
    version = 0

    def __init__(self, start: Callable[[], EnvWorker], start_timeout: float | None) -> None:
        self.start_timeout: float | None = start_timeout
        self._start = start
        self._lost: session_pb2.Failure | None = None
        self._opened: session_pb2.OpenCall | None = None
        self._deviations: dict[str, int] = {}
        # The number of the call in which the worker did not answer a question; 0: it answered.
        self._silent_in = 0
        self.hot: Step = self._step
        self._timings = LentTimings(self._lent_totals)
        self.timings: Timings = self._timings
        self._timeout: float | None = None
        self._starting = False
        self._loan: Loan | None = None
        self._lends = True
        # The number of the call in which the worker died while it answered by itself; else 0.
        self._crashed_call = 0
        self._worker = start()
        self.episodes: LentEpisodes = LentEpisodes()
        self._follow_episodes()
        made = await_env(self._worker, start_timeout)
        self.contract: EnvContract = made.contract
        self.plan: SegmentLayout = made.plan
        self._pipe: Pipe = made.pipe

    def begin_session(
        self,
        mode: AutoresetMode | None,
        *,
        as_vector: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Prepares for the next client, in a new worker if need be; see `Backend`.

        Raises:
            CallFailedError: If the environment cannot run the mode, or no worker can be started.
        """
        self.timings = self._timings = LentTimings(self._lent_totals)
        self._timeout = timeout
        self._deviations, self._silent_in = {}, 0
        self._opened = session_pb2.OpenCall(as_vector=as_vector)
        if mode is not None:
            self._opened.autoreset_mode = mode.to_proto()
        if self._lost is not None or not self._worker.going:
            self.episodes = LentEpisodes()
            self._replace()
        else:
            self._ask(session_pb2.SessionRequest(open=self._opened), "open")
            self.episodes = LentEpisodes()
            self._follow_episodes()

    def answer(self, request: Request, outbox: Outbox) -> tuple[int, int]:
        """Executes a call; see `Backend`.

        Raises:
            CallFailedError: If the call fails, or the worker is or gets lost.
        """
        if request.payload is not None:
            return self._step(request.sequence, request.payload, outbox)
        message = request.message or session_pb2.SessionRequest()
        if self._lost is not None and self._crashed_call and request.sequence == self._crashed_call:
            # Also a reset: it has been executed.
            self._crashed_call = 0
            raise CallFailedError(self._lost)
        if message.HasField("stats"):
            stats = session_pb2.SessionResponse(sequence=request.sequence, stats=self._stats())
            return write_answer(stats, outbox)
        if message.HasField("reset") and (self._lost is not None or not self._worker.going):
            self._replace()
        return self._relay(message.SerializeToString(), request.name, outbox)

    def deviations(self) -> dict[str, int]:
        """How many values were out of their bounds, as far as the worker reports; see `Backend`."""
        call = self.running
        if call is not None and call.sequence == self._silent_in:
            # It has not answered in this call, which changes nothing of what is asked for.
            return self._deviations
        status = self._ask_status()
        self._silent_in = call.sequence if status is None and call is not None else 0
        if status is not None:
            self._deviations = {each.kind: each.count for each in status.deviations}
        return self._deviations

    @property
    def renders(self) -> bool:
        """Whether viewers may have `render` called; see `Backend`."""
        return self.contract.render_mode == RENDERED

    def make_watch(self) -> EnvWatch:
        """What viewers see of this session; see `Backend`."""
        contract, opened = self.contract, self._opened or session_pb2.OpenCall()
        num_envs = contract.num_envs if contract.vector else 1 if opened.as_vector else None
        return EnvWatch(
            compile_step_result(num_envs),
            compile_layout(contract.observation_space, num_envs),
            num_envs,
            requested_mode(opened) or contract.autoreset_mode,
        )

    def close(self) -> None:
        """Has the worker close the environment and exit."""
        self._timeout = _CLOSING_SECONDS
        try:
            if self._lost is None and self._worker.going:
                self._ask(session_pb2.SessionRequest(close=session_pb2.CloseCall()), "close")
        except CallFailedError as error:
            _log.error("%s", log_text(error.failure))
        self._discard()

    def stack(self) -> str:
        """Where in the code the environment is, as far as the worker reports; see `Backend`."""
        if self._starting:
            return f"the worker process (pid {self._worker.pid}) is starting\n"
        status = self._ask_status()
        if status is not None:
            return status.stack
        # A worker answers in any other state.
        return (
            f"unknown, in native code that holds the interpreter lock of the worker process (pid "
            f"{self._worker.pid})\n"
        )

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Kills the worker, so that a call in progress ends at once; see `Backend`."""
        if starting or not self._starting:
            self._worker.abandon(reason)
        return True

    @property
    def lender(self) -> ProcessBackend:
        """Its worker answers calls by itself; see `Lender`."""
        return self

    @property
    def running(self) -> NotedCall | None:
        """The call of a client that the worker answers by itself; see `Lender`."""
        loan = self._loan
        return None if loan is None else loan.call()

    @property
    def last_used(self) -> float:
        """When the last such call ended; see `Lender`."""
        lending = self._worker.lending
        return 0.0 if lending is None else lending.page.last_used()

    def lend(self, pipe: Pipe, sequence: int, wake_fd: int, *, resumes: bool) -> LoanEnd | None:
        """Has the worker answer the calls of a pipe by itself for a while; see `Lender`."""
        worker, lending = self._worker, self._worker.lending
        # A connection may break with its worker, which only a client notices that does not resume.
        lendable = LendableShmPipe | LendableTcpPipe if resumes else LendableShmPipe
        if not (self._lends and isinstance(pipe, lendable) and lending is not None):
            return None
        if self._lost is not None or not worker.going:
            # The next call reports it, or starts another worker.
            return None
        loan = Loan(worker, lending, pipe, sequence)
        begun = loan.begin()
        if not begun:
            self._lends = begun is None
            return None
        self._loan = loan
        try:
            self._lends = loan.wait(wake_fd, self._timeout)
        finally:
            self._loan = None
            self._timings.add(lending.page.totals())
        if loan.in_call is not None:
            self._lose(f"in {loan.in_call.name}()")
            self._crashed_call = loan.sequence + 1
        lost = None
        if not loan.complete:
            lost = self._lost or self._lose("before its last answer was delivered").failure
        return LoanEnd(loan.sequence, loan.request, lost)

    def _lent_totals(self) -> dict[str, tuple[int, float]]:
        lending = self._worker.lending
        return {} if self._loan is None or lending is None else lending.page.totals()

    def _step(self, sequence: int, action: bytes, outbox: Outbox, /) -> tuple[int, int]:
        return self._relay(write_action(sequence, action), "step", outbox)

    def _relay(self, message: bytes, name: str, outbox: Outbox) -> tuple[int, int]:
        """Sends a call to the worker, and writes its answer as it came."""
        buffer, start, end = self._exchange(message, name)
        if end - start > PREFIX and buffer[start + PREFIX] == FAILURE:
            answer = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
            raise CallFailedError(answer.failure)
        # At the same place if it may be, as the slab is aligned there.
        begin = max(start, outbox.reserved) if outbox.reserved else 0
        last = begin + end - start
        slot = outbox.reserve(last)
        if last - begin <= _SMALL:
            slot[begin:last] = buffer[start:end]
        else:
            with memoryview(buffer) as view, view[start:end] as part:
                slot[begin:last] = part
        return begin, last

    def _ask(self, request: session_pb2.SessionRequest, name: str) -> session_pb2.SessionResponse:
        """Sends the worker a call of the server's own."""
        buffer, start, end = self._exchange(request.SerializeToString(), name)
        answer = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
        if answer.HasField("failure"):
            raise CallFailedError(answer.failure)
        return answer

    def _exchange(self, message: bytes, name: str) -> Received:
        if self._lost is not None:
            raise CallFailedError(self._lost)
        if self._worker.dead:
            raise self._lose(f"before {name}() was called")
        pipe, timeout = self._pipe, self._timeout
        pipe.send(message)
        try:
            received = pipe.receive(None if timeout is None else time.monotonic() + timeout)
        except BadFrameError as error:
            self._worker.kill(f"it sent what cannot be: {error}")
            received = WakeReason.GONE
        if isinstance(received, WakeReason):
            if received is WakeReason.LATE:
                self._worker.abandon(f"the client does not wait for longer than {timeout:g} s")
            raise self._lose(f"in {name}()")
        return received

    def _lose(self, when: str) -> CallFailedError:
        """Notes that the worker has died, or is about to."""
        self._discard()
        worker, code = self._worker, session_pb2.ERROR_CODE_ENV_CRASHED
        text = f"the environment crashed {when}: {worker.account()}"
        if worker.last_stack is not None:
            code = session_pb2.ERROR_CODE_DEADLINE
            text = f"the environment was too long {when}: {worker.account()}"
            if worker.last_stack:
                text = f"{text}\nIt was at\n{worker.last_stack}"
        error = failed(
            code, f"{text}\nThe episode is gone; the next reset() starts in a new process"
        )
        self._lost = error.failure
        return error

    def _replace(self) -> None:
        """Starts another worker.

        Raises:
            CallFailedError: If none can be started.
        """
        if self._lost is None:
            _log.error("%s", log_text(self._lose("between two calls").failure))
        self._starting = True
        try:
            self._worker = self._start()
            self._follow_episodes()
            made = await_env(self._worker, self.start_timeout)
        except CallFailedError as error:
            self._lost = error.failure
            raise
        finally:
            self._starting = False
        self._pipe = made.pipe
        self._lost = None
        self._lends, self._crashed_call = True, 0
        found = compare_contracts(self.contract, made.contract)
        if found:
            self._worker.kill("it is of no use")
            self._discard()
            other = failed(
                session_pb2.ERROR_CODE_ENVIRONMENT,
                another_contract(found),
            )
            self._lost = other.failure
            raise other
        _log.warning("the environment starts again, in process %d", self._worker.pid)
        if self._opened is not None:
            self._ask(session_pb2.SessionRequest(open=self._opened), "open")

    def _follow_episodes(self) -> None:
        lending = self._worker.lending
        self.episodes.follow(None if lending is None else lending.page)

    def _discard(self) -> None:
        """Waits for the worker's end, and releases the pipe."""
        self._worker.end()
        self._pipe.release()

    def _stats(self) -> session_pb2.StatsResult:
        """The timings; the time in the environment is what this worker measured."""
        stats = self.timings.to_proto()
        if self._lost is None:
            answer = self._ask(session_pb2.SessionRequest(stats=session_pb2.StatsCall()), "stats")
            seconds = {call.call: call.environment_seconds for call in answer.stats.calls}
            for call in stats.calls:
                call.environment_seconds = seconds.get(call.call, 0.0)
        return stats

    def _ask_status(self) -> env_service_pb2.SessionStatus | None:
        status = self._worker.ask(_STATUS_SECONDS)
        if status is None:
            return None
        try:
            return env_service_pb2.SessionStatus.FromString(status)
        except DecodeError:
            return None
