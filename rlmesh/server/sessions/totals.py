"""What all sessions of a server have done together, those that are over included."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rlmesh.server.sessions.endpoint import SessionBackend, Slot, Timing
from rlmesh_api.v1 import session_pb2

OK = "ok"
"""The outcome of a call that has not failed."""


def outcome_of(code: int) -> str:
    """The outcome that an error code is: `env_crashed` of `ERROR_CODE_ENV_CRASHED`."""
    known = session_pb2.ErrorCode.values()
    name = session_pb2.ErrorCode.Name(code) if code in known else f"ERROR_CODE_{code}"  # type: ignore[arg-type] # as just looked up
    return name.removeprefix("ERROR_CODE_").lower()


@dataclass(slots=True)
class CallTotals:
    """The calls of one kind.

    Attributes:
        outcomes: How many there were, by outcome.
        environment: Seconds in the environment, or in the model.
        server: Seconds on the server, from a request's arrival until its answer leaves.
        queue: Seconds in the queue of a model.
        batch_sizes: The sum of the sizes of the batches in which they were computed.
    """

    outcomes: Counter[str] = field(default_factory=Counter[str])
    environment: float = 0.0
    server: float = 0.0
    queue: float = 0.0
    batch_sizes: int = 0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    def add(self, timing: Timing) -> None:
        """Adds the calls of one session."""
        # In this order: the slot's thread counts a failure before it counts the call, so that a
        # call that fails at this moment is never taken for one that went well.
        count = timing.count
        failed = dict(timing.failures)
        self.outcomes[OK] += max(0, count - sum(failed.values()))
        for code, count in failed.items():
            self.outcomes[outcome_of(code)] += count
        self.environment += timing.environment
        self.server += timing.server
        self.queue += timing.queue
        self.batch_sizes += timing.batch_sizes


@dataclass(slots=True)
class Totals:
    """What the sessions of a server have done. It holds no lock; see `SessionManager.totals`.

    Attributes:
        calls: The calls that were executed, by kind.
        deviations: How many values were out of their bounds, by kind.
        refused: How many clients were refused when they opened or resumed a session, by reason.
        resumes: How many times a client went on with its session after a break.
        episodes: How many episodes have ended.
        returns: The sum of their returns.
        lengths: The sum of their lengths, in steps.
        last_used: When the last call ended, on the monotonic clock, in seconds; 0: there was none.
    """

    calls: dict[str, CallTotals] = field(default_factory=dict[str, CallTotals])
    deviations: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    resumes: int = 0
    episodes: int = 0
    returns: float = 0.0
    lengths: int = 0
    last_used: float = 0.0

    def copy(self) -> Totals:
        """A copy, which is not changed any more."""
        return copy.deepcopy(self)

    def add_session(self, slot: Slot, backend: SessionBackend) -> None:
        """Adds what a session has done so far. Any thread may, while the calls go on.

        Args:
            slot: The session's slot.
            backend: Answers its calls.
        """
        for kind, timing in backend.timings.kinds():
            self.add_calls(kind, timing)
        self.deviations.update(backend.deviations())
        episodes = backend.episodes
        if episodes is not None:
            count, returns, lengths = episodes.ended
            self.episodes += count
            self.returns += returns
            self.lengths += lengths
        if any(total.count for total in self.calls.values()):
            self.last_used = max(self.last_used, slot.thread.last_used)

    def add_totals(self, other: Totals) -> None:
        """Adds what other sessions have done."""
        for kind, calls in other.calls.items():
            mine = self.calls.setdefault(kind, CallTotals())
            mine.outcomes.update(calls.outcomes)
            mine.environment += calls.environment
            mine.server += calls.server
            mine.queue += calls.queue
            mine.batch_sizes += calls.batch_sizes
        self.deviations.update(other.deviations)
        self.refused.update(other.refused)
        self.resumes += other.resumes
        self.episodes += other.episodes
        self.returns += other.returns
        self.lengths += other.lengths
        self.last_used = max(self.last_used, other.last_used)

    def add_calls(self, kind: str, timing: Timing) -> None:
        """Adds the calls of one kind."""
        self.calls.setdefault(kind, CallTotals()).add(timing)

    def add_all(self, sessions: Iterable[tuple[Slot, SessionBackend]]) -> Totals:
        """Adds several sessions, and returns this."""
        for slot, backend in sessions:
            self.add_session(slot, backend)
        return self
