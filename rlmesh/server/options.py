"""How a server behaves at the edges of its life."""

from __future__ import annotations

from dataclasses import dataclass, fields

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.seconds import check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How a server behaves at the edges of its life.

    Attributes:
        allow_remote_shutdown: Whether a client may shut the server down.
        idle_timeout_seconds: After how many seconds without a request the server ends by itself;
            None: never.
        drain_timeout_seconds: For how many seconds a shutdown waits for the call in flight; None:
            until it returns.
        close_timeout_seconds: For how many seconds a shutdown waits for the environment's `close`;
            None: until it returns.
        resume_timeout_seconds: For how many seconds a session is kept whose connection has broken,
            for a client that resumes it; 0: not at all.
        session_idle_timeout_seconds: After how many seconds without a call a session is ended;
            None: never.
        call_timeout_seconds: After how many seconds a call is answered with an error for an
            environment that has not returned; None: never.

    Raises:
        ArgumentTypeError: If a value has the wrong type.
        InvalidArgumentError: If a number of seconds is negative or not finite, or 0 for a call.
    """

    allow_remote_shutdown: bool = False
    idle_timeout_seconds: float | None = None
    drain_timeout_seconds: float | None = None
    close_timeout_seconds: float | None = None
    resume_timeout_seconds: float = 10.0
    session_idle_timeout_seconds: float | None = None
    call_timeout_seconds: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.allow_remote_shutdown, bool):
            raise ArgumentTypeError(
                f"allow_remote_shutdown must be a bool, got {self.allow_remote_shutdown!r}"
            )
        for field in fields(self):
            if field.name.endswith("_seconds"):
                check_seconds(field.name, getattr(self, field.name))
        if self.resume_timeout_seconds is None:  # pyright: ignore[reportUnnecessaryComparison] # a user may
            raise ArgumentTypeError(
                "resume_timeout_seconds must be a number of seconds, got None; 0 keeps no session"
            )
        if self.call_timeout_seconds == 0:
            raise InvalidArgumentError(
                "call_timeout_seconds must be more than 0, got 0; None means no limit"
            )
