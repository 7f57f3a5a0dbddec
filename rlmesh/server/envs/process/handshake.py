"""Waits until a worker has made its environment, and opens the pipe to it."""

from __future__ import annotations

from typing import NamedTuple

from rlmesh.contract import EnvContract
from rlmesh.processes.control import ControlMessage
from rlmesh.processes.worker_process import WorkerProcess
from rlmesh.server.failures import CallFailedError, failed
from rlmesh.transports.pipe import Pipe
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh.transports.shm.segment import BadSegmentError
from rlmesh.transports.worker import take_pipe
from rlmesh_api.v1 import contract_pb2, session_pb2


class Handshake(NamedTuple):
    """What a worker has made.

    Attributes:
        contract: The environment's contract.
        pipe: This side's end of the transport to it.
        plan: How much shared memory the calls take.
    """

    contract: EnvContract
    pipe: Pipe
    plan: SegmentLayout


def await_env(worker: WorkerProcess, timeout: float | None) -> Handshake:
    """Waits until a worker has made its environment; ends a worker that does not.

    Args:
        worker: The worker.
        timeout: For how many seconds to wait; None: for ever.

    Raises:
        CallFailedError: If the worker made none.
    """
    try:
        return _await_env(worker, timeout)
    except BaseException:
        worker.kill("there is no environment in it")
        worker.end()
        worker.calls.close()
        raise


def _await_env(worker: WorkerProcess, timeout: float | None) -> Handshake:
    answer = worker.wait_for_answer(timeout)
    if answer is None:
        worker.kill(f"the environment was not there after {timeout} s")
        worker.end()
        raise failed(
            session_pb2.ERROR_CODE_ENV_CRASHED,
            f"the environment crashed while it was made: {worker.account()}",
        )
    kind, content = answer
    if kind is ControlMessage.FAILURE:
        raise CallFailedError(session_pb2.Failure.FromString(content))
    contract = EnvContract.from_proto(contract_pb2.EnvContract.FromString(content))
    try:
        pipe, plan = take_pipe(worker.calls)
    except (OSError, BadSegmentError) as error:
        worker.kill(f"there is no transport to it: {error}")
        worker.end()
        raise failed(
            session_pb2.ERROR_CODE_ENV_CRASHED,
            f"the environment crashed when it had just been made: {worker.account()}",
        ) from error
    if worker.lifeline is not None:
        pipe.watch(worker.lifeline)
    return Handshake(contract, pipe, plan)
