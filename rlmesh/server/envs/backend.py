"""The protocol of a backend: an environment as its slot's thread calls it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from rlmesh.codec.step.wire import read_action
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.server.sessions.endpoint import Episodes, Lender, SessionWatch
from rlmesh.server.sessions.kind import EndpointKind
from rlmesh.server.sessions.requests import Request
from rlmesh.server.timings import Timings
from rlmesh.transports.pipe import Outbox
from rlmesh.transports.shm.pipe import SegmentLayout

ENV: Final = EndpointKind(
    noun="environment",
    service="rlmesh_api.v1.EnvService",
    hot_call="step",
    read_hot=read_action,
)
"""The kind of endpoint that an environment is."""

DEPENDENT: Final = frozenset({"step", "step_many", "step_some"})
"""The calls of an environment that depend on the call before."""


class Step(Protocol):
    """Steps the environment."""

    def __call__(self, sequence: int, action: bytes, outbox: Outbox, /) -> tuple[int, int]:
        """Writes the answer; where it begins and ends. It raises as `Backend.answer` does.

        Args:
            sequence: The call's number.
            action: The action's slab.
            outbox: Where to write the answer.
        """
        ...


class Backend(Protocol):
    """An environment behind its contract: it takes calls as messages, and gives them answers.

    It is made, called and closed on its slot's thread, except where noted.

    Attributes:
        hot: Steps it in this session; another one for each.
        timings: How long this session's calls took; any thread may read it.
    """

    hot: Step
    timings: Timings

    @property
    def episodes(self) -> Episodes | None:
        """This session's episodes; None where they are not counted. Any thread may ask."""
        ...

    @property
    def version(self) -> int:
        """0: an environment has no versions."""
        ...

    @property
    def dependent(self) -> Collection[str]:
        """The calls that depend on the call before."""
        ...

    @property
    def contract(self) -> EnvContract:
        """Its contract."""
        ...

    @property
    def plan(self) -> SegmentLayout:
        """How much shared memory its calls take."""
        ...

    @property
    def lender(self) -> Lender | None:
        """Has another process answer calls by itself; None: this one answers all."""
        ...

    def begin_session(
        self,
        mode: AutoresetMode | None,
        *,
        as_vector: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Prepares for the next client.

        Args:
            mode: The autoreset mode that it asks for; None: the environment's own.
            as_vector: Whether it drives a single environment as the sub-environment of a vector
                environment.
            timeout: For how many seconds the client waits for the answer to a call; None: for ever.
                A backend that can end a call by force does so then.

        Raises:
            CallFailedError: If the environment cannot run the mode.
        """
        ...

    def answer(self, request: Request, outbox: Outbox) -> tuple[int, int]:
        """Executes any call but `close`, and writes the answer; where it begins and ends.

        Raises:
            CallFailedError: If the arguments, the environment or what it returned is at fault.
        """
        ...

    def deviations(self) -> dict[str, int]:
        """How many values were out of their bounds in this session, by kind. Any thread may ask."""
        ...

    @property
    def renders(self) -> bool:
        """Whether viewers may have `render` called. Any thread may ask."""
        ...

    def make_watch(self) -> SessionWatch | None:
        """What viewers see of this session. Any thread may ask."""
        ...

    def stack(self) -> str | None:
        """Where the call in progress is, the innermost frame last; None: where the slot's thread.

        Any thread may ask, and is answered in a moment.
        """
        ...

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Ends the call in progress by force, and returns. Any thread may.

        Args:
            reason: Why, for messages: `step() did not return within 1 s`.
            starting: Whether to end it also while it waits for another environment to be made, in
                a reset.

        Returns:
            Whether there is a way to: the call returns in a moment.
        """
        ...

    def close(self) -> None:
        """Closes the environment; what its `close` raises passes through."""
        ...
