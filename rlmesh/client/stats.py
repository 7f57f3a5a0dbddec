"""What the calls of a client have cost, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from rlmesh_api.v1 import session_pb2


@dataclass(frozen=True, slots=True)
class CallStats:
    """What the calls of one kind have cost in this session so far. Times are sums, in seconds.

    Attributes:
        count: How many were answered, failed ones included.
        environment_seconds: In the environment.
        serving_seconds: In the server around it: reading, checking and writing values.
        encoding_seconds: In this client, until the request was ready.
        decoding_seconds: In this client, from the answer's arrival on.
        crossing_seconds: Everything between: both ways through the transport, wake-ups included.
        sent_bytes: Of requests.
        received_bytes: Of answers.
    """

    count: int
    environment_seconds: float
    serving_seconds: float
    encoding_seconds: float
    decoding_seconds: float
    crossing_seconds: float
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class PredictionStats:
    """What the calls of one kind at a model have cost so far. Times are sums, in seconds.

    Attributes:
        count: How many were answered, failed ones included.
        model_seconds: In the model; of a batch the whole time counts for each request.
        queue_seconds: Waiting for the model.
        mean_batch_size: How many observations the model has computed at once, on average.
        serving_seconds: In the server around both: reading, checking and writing values.
        encoding_seconds: In this client, until the request was ready.
        decoding_seconds: In this client, from the answer's arrival on.
        crossing_seconds: Everything between: both ways through the transport, wake-ups included.
        sent_bytes: Of requests.
        received_bytes: Of answers.
    """

    count: int
    model_seconds: float
    queue_seconds: float
    mean_batch_size: float
    serving_seconds: float
    encoding_seconds: float
    decoding_seconds: float
    crossing_seconds: float
    sent_bytes: int
    received_bytes: int


class Tally:
    """Adds up what the calls of one kind have cost this client.

    Attributes:
        count: How many were answered.
        encoding: Seconds until requests were ready.
        waiting: Seconds until answers had come.
        decoding: Seconds until they were read.
        sent: Bytes of requests.
        received: Bytes of answers.
        posted: When the last request was ready, on the clock of `time.perf_counter`.
        came: When the last answer had come.
        done: When it was read.
        open: The bytes of that answer, if it has not been added up yet; else 0.
    """

    __slots__ = (
        "came",
        "count",
        "decoding",
        "done",
        "encoding",
        "open",
        "posted",
        "received",
        "sent",
        "waiting",
    )

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets all, for another session."""
        self.count: int = 0
        self.encoding: float = 0.0
        self.waiting: float = 0.0
        self.decoding: float = 0.0
        self.sent: int = 0
        self.received: int = 0
        self.posted: float = 0.0
        self.came: float = 0.0
        self.done: float = 0.0
        self.open: int = 0

    def begin(self, began: float, posted: float, sent: int) -> None:
        """Adds up the call before, and what a request has cost that has just left.

        The server is at work meanwhile, so that it takes no time of the call.

        Args:
            began: When the encoding began.
            posted: When the request was ready.
            sent: Its bytes.
        """
        if posted == self.posted:
            # Already done, and the connection broke afterwards.
            return
        # As `settle`, without its frame: every step passes here.
        if self.open:
            self.count += 1
            self.waiting += self.came - self.posted
            self.decoding += self.done - self.came
            self.received += self.open
            self.open = 0
        self.encoding += posted - began
        self.sent += sent
        self.posted = posted

    def settle(self) -> None:
        """Adds up the last call, if it has been answered."""
        if self.open:
            self.count += 1
            self.waiting += self.came - self.posted
            self.decoding += self.done - self.came
            self.received += self.open
            self.open = 0

    def stats(self, served: session_pb2.CallStats) -> CallStats:
        """The sums of both sides, with what the server has measured."""
        self.settle()
        return CallStats(
            count=self.count,
            environment_seconds=served.environment_seconds,
            serving_seconds=max(0.0, served.server_seconds - served.environment_seconds),
            encoding_seconds=self.encoding,
            decoding_seconds=self.decoding,
            crossing_seconds=max(0.0, self.waiting - served.server_seconds),
            sent_bytes=self.sent,
            received_bytes=self.received,
        )


def prediction_stats(tally: Tally, served: session_pb2.CallStats) -> PredictionStats:
    """The sums of both sides for the calls of one kind at a model."""
    sums = tally.stats(served)
    return PredictionStats(
        count=sums.count,
        model_seconds=served.environment_seconds,
        queue_seconds=served.queue_seconds,
        mean_batch_size=served.batch_sizes / served.count if served.count else 0.0,
        serving_seconds=max(0.0, sums.serving_seconds - served.queue_seconds),
        encoding_seconds=sums.encoding_seconds,
        decoding_seconds=sums.decoding_seconds,
        crossing_seconds=sums.crossing_seconds,
        sent_bytes=sums.sent_bytes,
        received_bytes=sums.received_bytes,
    )


def added(parts: Sequence[Mapping[str, CallStats]]) -> dict[str, CallStats]:
    """The sums of what calls have cost at several endpoints."""
    kinds = dict.fromkeys(kind for part in parts for kind in part)
    return {
        kind: CallStats(
            *(
                sum(getattr(part[kind], field.name) for part in parts if kind in part)
                for field in fields(CallStats)
            )
        )
        for kind in kinds
    }
