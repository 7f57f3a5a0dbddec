"""What the sessions ask of a kind of endpoint: slots, each with a thread and a backend.

The sessions know no environment and no model. `rlmesh.server.envs` and `rlmesh.server.models`
implement these protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, Protocol

from rlmesh.server.sessions.kind import EndpointKind
from rlmesh.server.sessions.requests import Request
from rlmesh.transports.pipe import Outbox, Pipe
from rlmesh_api.v1 import env_service_pb2, session_pb2


class ThreadStoppedError(Exception):
    """A slot's thread takes no more calls."""


class RunningCall(Protocol):
    """A call in progress. Any thread may look at it.

    Attributes:
        name: `reset`, `step`, `predict`, an attribute's name, or `close`.
        sequence: Its number in the session; 0 for a call of the server itself.
        since: When it began, on the monotonic clock, in seconds.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above
    @property
    def sequence(self) -> int: ...  # noqa: D102
    @property
    def since(self) -> float: ...  # noqa: D102

    def give_up(self, failure: session_pb2.Failure) -> bool:
        """Answers with a failure while the work goes on; False if that is not possible any more."""
        ...


class Call(Protocol):
    """A call that a slot's thread executes; it is a `RunningCall` meanwhile."""

    name: str
    sequence: int
    since: float

    def execute(self) -> None:
        """Does the work, and keeps what goes wrong for the caller that waits."""
        ...

    def finish(self, seconds: float) -> None:
        """Gives the result to the caller that waits; the work has taken `seconds`."""
        ...

    def give_up(self, failure: session_pb2.Failure) -> bool:
        """Answers with a failure while the work goes on; see `RunningCall`."""
        ...


class PendingCall(Call, Protocol):
    """A call that another thread has handed in.

    Attributes:
        seconds: How long the work has taken, once it is done.
    """

    seconds: float

    def wait(self) -> Any:
        """Waits for the work; returns or raises what it returned or raised."""
        ...


class Source(Protocol):
    """Where calls come from beside those that are handed in. Only the slot's thread receives.

    Attributes:
        over: Whether no more calls come.
    """

    over: bool

    @property
    def running(self) -> RunningCall | None:
        """The call that another process executes while `receive` waits. Any thread may ask."""
        ...

    @property
    def last_used(self) -> float:
        """When the last such call ended, on the monotonic clock, in seconds; 0: there was none."""
        ...

    def receive(self) -> Call | None:
        """The next call; None if the source is over, or `ring` was called."""
        ...

    def ring(self) -> None:
        """Ends a `receive` that waits, because the thread has something else to do. Any thread."""
        ...

    def release(self) -> None:
        """Ends the source; it receives no more calls."""
        ...

    def fail(self, error: Exception) -> None:
        """Ends the source and its session, because of an error outside of the calls' work."""
        ...


class SlotThread(Protocol):
    """The one thread that executes the calls of a slot."""

    @property
    def last_used(self) -> float:
        """When the last call ended, on the monotonic clock, in seconds. Any thread may ask."""
        ...

    @property
    def running(self) -> RunningCall | None:
        """The call in progress, if there is one. Any thread may ask."""
        ...

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        ...

    @property
    def ready(self) -> bool:
        """Whether the thread runs calls."""
        ...

    def call(self, work: Any, *, name: str, sequence: int = 0) -> Any:
        """Has `work()` executed; returns or raises what it returns or raises.

        Raises:
            ThreadStoppedError: If the thread takes no more calls.
            CallFailedError: If the call was given up.
        """
        ...

    def post(self, work: Any, *, name: str, sequence: int = 0) -> PendingCall:
        """Has `work()` executed, and does not wait.

        Raises:
            ThreadStoppedError: If the thread takes no more calls.
        """
        ...

    def attach(self, source: Source) -> None:
        """Takes calls from a source as well, in the place of the one before.

        Raises:
            ThreadStoppedError: If the thread takes no more calls.
        """
        ...


class Timing(Protocol):
    """What the calls of one kind have cost; only the slot's thread writes it.

    Attributes:
        count: How many calls were executed.
        environment: Seconds in the environment, or in the model; 0 where that is not known.
        server: Seconds on the server, from a request's arrival to its answer's leaving.
        queue: Seconds in the queue of a model.
        batch_sizes: The sum of the sizes of the batches in which they were computed.
        failures: How many of them failed, by error code.
    """

    count: int
    environment: float
    server: float
    queue: float
    batch_sizes: int
    failures: dict[int, int]


class Episodes(Protocol):
    """The episodes of a session."""

    @property
    def ended(self) -> tuple[int, float, int]:
        """How many have ended, and the sums of their returns and lengths. Any thread may ask."""
        ...


class Timings(Protocol):
    """What the calls of a session have cost, by their kind."""

    @property
    def calls(self) -> int:
        """How many calls were executed. Any thread may ask."""
        ...

    def of(self, kind: str) -> Timing:
        """The timing of a kind of call, a field of `SessionRequest`."""
        ...

    def kinds(self) -> Sequence[tuple[str, Timing]]:
        """The timing of each kind of call so far. Any thread may ask."""
        ...


class HotCall(Protocol):
    """The call whose bytes are laid out by hand."""

    def __call__(self, sequence: int, payload: Any, outbox: Outbox, /) -> tuple[int, int]:
        """Executes the call and writes the answer; returns where the answer begins and ends."""
        ...


class LoanEnd(NamedTuple):
    """How a loan has ended.

    Attributes:
        sequence: The number of the session's last call that was executed.
        request: The request of that call, for the comparison with a repetition; empty if unknown.
        lost: What the last call is answered if it is repeated, where its answer was lost with the
            process; None: the pipe still has its answer.
    """

    sequence: int
    request: bytes = b""
    lost: session_pb2.Failure | None = None


class Lender(Protocol):
    """Has another process answer the calls of a pipe for a while, without this process."""

    @property
    def running(self) -> RunningCall | None:
        """The call in progress there. Any thread may ask."""
        ...

    @property
    def last_used(self) -> float:
        """When the last call ended there, as `SlotThread.last_used`. Any thread may ask."""
        ...

    def lend(self, pipe: Pipe, sequence: int, wake_fd: int, *, resumes: bool) -> LoanEnd | None:
        """Lends a pipe, and waits until it is back, on the slot's thread.

        The pipe comes back with the call that the other process leaves to this one, without a call
        when the client has gone or `wake_fd` is readable, and when the other process dies.

        Args:
            pipe: The pipe, between two calls.
            sequence: The number of the session's last call.
            wake_fd: A descriptor that is readable when this process wants the pipe back.
            resumes: Whether the client comes back after its connection has broken.

        Returns:
            How the loan ended; None if this pipe cannot be lent now.
        """
        ...


class SessionWatch(Protocol):
    """What somebody who watches sees of one session.

    Attributes:
        sequence: The number of the last call that was seen; 0 before the first one.
        has_newest: Whether the images are of that call. Any thread may ask for both.
        work: What the slot's thread does once, after the next call and before its answer leaves;
            None: nothing. It raises nothing. A viewer's thread sets it.
    """

    sequence: int
    has_newest: bool
    work: Callable[[], None] | None

    @property
    def has_images(self) -> bool:
        """Whether there can be images. Any thread may ask."""
        ...

    def note(
        self, sequence: int, outbox: Outbox, start: int, end: int, request: Request | None = None
    ) -> None:
        """A call has been executed, and its answer written. On the slot's thread. Raises nothing.

        Args:
            sequence: The call's number.
            outbox: Where the answer was written.
            start: Where it begins.
            end: Where it ends.
            request: The call; None: the hot call.
        """
        ...

    def note_kept(self, sequence: int, answer: bytes) -> None:
        """The answer of the last call, after which nothing has come.

        On the slot's thread, or where a stream carries the calls on that of a viewer.
        """
        ...

    def want(self, env_indices: frozenset[int], until: float) -> None:
        """Has the images of the next call kept, of these sub-environments. Any thread may.

        Args:
            env_indices: The sub-environments.
            until: Until when calls are followed, on the monotonic clock. Who wants nothing until
                then takes nothing, and costs the session nothing.
        """
        ...

    def describe(self, session: env_service_pb2.WatchedSession, env_index: int) -> None:
        """Says what there is to see of one sub-environment but its images. Any thread may ask."""
        ...

    def images(self, env_index: int) -> Sequence[tuple[env_service_pb2.WatchedImage, bytes]]:
        """The images of one sub-environment, each without its elements, and those. Any thread."""
        ...


class SessionBackend(Protocol):
    """What answers a session's calls, on the slot's thread."""

    @property
    def hot(self) -> HotCall:
        """The hot call; another one in each session."""
        ...

    @property
    def dependent(self) -> Collection[str]:
        """The calls that depend on the call before.

        They are not executed after a call that never arrived. A reset is, since it starts again,
        and so is a call that only reads.
        """
        ...

    @property
    def version(self) -> int:
        """Which version of a model answers, from 1; 0 for what has no versions. Any thread."""
        ...

    @property
    def timings(self) -> Timings:
        """What this session's calls have cost."""
        ...

    @property
    def episodes(self) -> Episodes | None:
        """This session's episodes; None where they are not counted. Any thread may ask."""
        ...

    def answer(self, request: Request, outbox: Outbox) -> tuple[int, int]:
        """Executes any call but `close`, and writes the answer; returns where it begins and ends.

        Raises:
            CallFailedError: If the call fails.
        """
        ...

    @property
    def lender(self) -> Lender | None:
        """Has another process answer calls by itself; None: this one answers all."""
        ...

    def deviations(self) -> dict[str, int]:
        """How many values were out of their bounds in this session, by kind. Any thread may ask."""
        ...

    @property
    def renders(self) -> bool:
        """Whether viewers may have `render` called. Any thread may ask."""
        ...

    def make_watch(self) -> SessionWatch | None:
        """What viewers see of this session; None: nothing but its calls. Any thread may ask."""
        ...


class Slot(Protocol):
    """One place for a session: a thread, and what answers calls there."""

    @property
    def thread(self) -> SlotThread:
        """The thread."""
        ...

    @property
    def backend(self) -> SessionBackend:
        """What answers calls. Only the slot's thread may ask before it is made."""
        ...

    @property
    def made(self) -> SessionBackend | None:
        """What answers calls; None until it is made. Any thread may ask."""
        ...

    def enter(self, call: session_pb2.OpenCall) -> None:
        """Prepares for a session, on the slot's thread.

        Raises:
            CallFailedError: If it cannot be prepared as the client asks.
        """
        ...

    def stack(self) -> str:
        """Where the call in progress is, the innermost frame last; empty between calls."""
        ...

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Ends the call in progress by force; False if there is no way to. Any thread may."""
        ...


class Provider(Protocol):
    """Where sessions get a slot.

    Attributes:
        kind: What kind of endpoint it is.
        capacity: How many sessions there can be at once.
    """

    kind: EndpointKind
    capacity: int

    def check(self, call: session_pb2.OpenCall) -> None:
        """Refuses what no slot can do for a client.

        Raises:
            CallFailedError: If the client asks for something that is unknown.
        """
        ...

    def take(self, call: session_pb2.OpenCall) -> Any:
        """A slot for the session that a client asks for. Its backend may not have been made yet."""
        ...

    def give_back(self, slot: Any) -> None:
        """Takes a slot back after a session, on the slot's thread."""
        ...

    def all(self) -> Sequence[Any]:
        """Every slot. Any thread may ask."""
        ...
