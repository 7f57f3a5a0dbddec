"""Whether gRPC works in this process.

A fork of a process that has used it hangs, and it ends a process that has no descriptor left.
"""

from __future__ import annotations

import os

from rlmesh.errors import StateError
from rlmesh.transports.system_resources import check_descriptors


class _Process:
    """What is known of this process.

    A fork copies it. Only the thread that survives a fork changes `forked`.

    Attributes:
        used: Whether a channel or a server of RLMesh was made here, or in the process that this one
            is a fork of.
        forked: Whether this process is a fork of one that had used gRPC.
    """

    used = False
    forked = False


def use_grpc(doing: str) -> None:
    """Notes that this process uses gRPC; called each time before gRPC may set itself up.

    Args:
        doing: What needs it, for the message.

    Raises:
        SystemResourceError: If too few descriptors are free.
    """
    check_descriptors(doing)
    _Process.used = True


def check_not_forked() -> None:
    """Refuses to make a client where it would hang.

    Raises:
        StateError: If this process is a fork of one that had used gRPC.
    """
    if _Process.forked:
        raise StateError(
            "this process is a fork of one that has used gRPC, which does not work after a fork: a "
            "client made here would hang. Start the process by spawn, with "
            'multiprocessing.get_context("spawn") or AsyncVectorEnv(..., context="spawn"), or make '
            "clients only in the forked processes and none, and no server, before they are forked"
        )


def _in_child() -> None:
    _Process.forked = _Process.used


os.register_at_fork(after_in_child=_in_child)
