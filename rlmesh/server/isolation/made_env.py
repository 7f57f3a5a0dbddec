"""A worker's environment, once it is there."""

from __future__ import annotations

from typing import NamedTuple

from rlmesh.contract import EnvContract
from rlmesh.lanes.memory_port import Plan
from rlmesh.lanes.port import Port
from rlmesh.lanes.private_lane import take_port
from rlmesh.lanes.segment import BadSegmentError
from rlmesh.server.failures import CallFailedError, failed
from rlmesh.server.isolation.notes import Note
from rlmesh.server.isolation.worker_process import WorkerProcess
from rlmesh_api.v1 import contract_pb2, session_pb2


class MadeEnv(NamedTuple):
    """What a worker has made.

    Attributes:
        contract: The environment's contract.
        port: This side's end of the lane to it.
        plan: How much room calls take in shared memory.
    """

    contract: EnvContract
    port: Port
    plan: Plan


def await_env(worker: WorkerProcess, patience: float | None) -> MadeEnv:
    """Waits until a worker has made its environment. One that has not is ended.

    Args:
        worker: The worker.
        patience: For how many seconds to wait; None: for ever.

    Raises:
        CallFailedError: If there will be none.
    """
    try:
        return _await_env(worker, patience)
    except BaseException:
        worker.kill("there is no environment in it")
        worker.end()
        worker.calls.close()
        raise


def _await_env(worker: WorkerProcess, patience: float | None) -> MadeEnv:
    answer = worker.wait_for_answer(patience)
    if answer is None:
        worker.kill(f"the environment was not there after {patience} s")
        worker.end()
        raise failed(
            session_pb2.ERROR_CODE_ENV_CRASHED,
            f"the environment crashed while it was made: {worker.account()}",
        )
    note, content = answer
    if note is Note.FAILURE:
        raise CallFailedError(session_pb2.Failure.FromString(content))
    contract = EnvContract.from_proto(contract_pb2.EnvContract.FromString(content))
    try:
        port, plan = take_port(worker.calls, also=worker.lifeline)
    except (OSError, BadSegmentError) as error:
        worker.kill(f"there is no lane to it: {error}")
        worker.end()
        raise failed(
            session_pb2.ERROR_CODE_ENV_CRASHED,
            f"the environment crashed when it had just been made: {worker.account()}",
        ) from error
    return MadeEnv(contract, port, plan)
