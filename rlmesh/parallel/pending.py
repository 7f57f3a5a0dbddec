"""The errors of calls in the wrong order, which are Gymnasium's as well."""

from __future__ import annotations

from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError

from rlmesh.errors import StateError

__all__ = ["ClosedError", "NothingPendingError", "PendingError"]


class PendingError(StateError, AlreadyPendingCallError):
    """A call while the results of steps that were sent have not been taken."""

    def __init__(self, message: str) -> None:
        AlreadyPendingCallError.__init__(self, message, "step")


class NothingPendingError(StateError, NoAsyncCallError):
    """A call that waits for results of steps, of which fewer were sent."""

    def __init__(self, message: str) -> None:
        NoAsyncCallError.__init__(self, message, "step")


class ClosedError(StateError, ClosedEnvironmentError):
    """A call of a vector environment that is closed."""
