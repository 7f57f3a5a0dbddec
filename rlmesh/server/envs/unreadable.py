"""The failure of reading what an environment returned."""

from __future__ import annotations

from rlmesh.codec.slab.violations import Violation
from rlmesh.envs.results import BadResultError
from rlmesh.server.failures import CallFailedError, env_raised, failed
from rlmesh.transports.shm.segment import SegmentRefusedError
from rlmesh_api.v1 import session_pb2


def unreadable(name: str, error: BaseException) -> CallFailedError:
    """The failure of reading what the environment returned.

    Reading may run the environment's code, `__array__` or `__float__`, and so raise anything.
    """
    if isinstance(error, Violation):
        return failed(
            session_pb2.ERROR_CODE_INVALID_OBSERVATION,
            f"the environment's {name}() returned an observation that its space does not hold: "
            f"{error}. The next call should be a reset",
            error,
        )
    if isinstance(error, BadResultError):
        return failed(
            session_pb2.ERROR_CODE_INVALID_RESULT,
            f"the environment's {name}() returned what Gymnasium does not allow: {error}. The next "
            f"call should be a reset",
            error,
        )
    if isinstance(error, SegmentRefusedError):
        # The environment is not at fault: its result is too large for this machine's limits.
        return failed(
            session_pb2.ERROR_CODE_INTERNAL, f"the answer to {name}() cannot leave: {error}"
        )
    return env_raised(f"reading what the environment's {name}() returned", error)
