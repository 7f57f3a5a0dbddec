"""How long the calls of a session took."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType

from rlmesh_api.v1 import session_pb2


class CallTiming:
    """How long the calls of one kind took. As a context manager it times what is served.

    Attributes:
        count: How many calls.
        environment: Seconds in the environment, or in the model.
        server: Seconds on the server, from a request's arrival until its answer leaves.
        queue: Seconds in the queue of a model.
        batch_sizes: The sum of the sizes of the batches in which they were computed.
        failures: How many of them failed, by error code.
    """

    __slots__ = ("_began", "batch_sizes", "count", "environment", "failures", "queue", "server")

    def __init__(self) -> None:
        self.count: int = 0
        self.environment: float = 0.0
        self.server: float = 0.0
        self.queue: float = 0.0
        self.batch_sizes: int = 0
        self.failures: dict[int, int] = {}
        self._began = 0.0

    def __enter__(self) -> None:
        """Starts the clock."""
        self._began = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Adds the time since then."""
        self.environment += perf_counter() - self._began


class Timings:
    """How long the calls of a session took, by their kind."""

    def __init__(self) -> None:
        self._kinds: dict[str, CallTiming] = {}

    def of(self, kind: str) -> CallTiming:
        """The timing of the calls of a kind, a field of `SessionRequest`."""
        return self._kinds.setdefault(kind, CallTiming())

    def kinds(self) -> list[tuple[str, CallTiming]]:
        """The timing of each kind of call so far. Any thread may ask."""
        return list(self._kinds.items())

    @property
    def calls(self) -> int:
        """How many calls were executed. Any thread may ask."""
        return sum(timing.count for timing in list(self._kinds.values()))

    def to_proto(self) -> session_pb2.StatsResult:
        """As a message."""
        return session_pb2.StatsResult(
            calls=[
                session_pb2.CallStats(
                    call=kind,
                    count=timing.count,
                    environment_seconds=timing.environment,
                    server_seconds=timing.server,
                    queue_seconds=timing.queue,
                    batch_sizes=timing.batch_sizes,
                )
                for kind, timing in self._kinds.items()
            ]
        )
