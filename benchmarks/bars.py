"""What a remote step has to reach, as ratios within one run."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.crowd import CORES, PAIRS
from benchmarks.results import Run, Spread, rate
from benchmarks.turns import Turn
from benchmarks.workloads import WORKLOADS

Ratio = Callable[[Turn, Turn], float]
Found = tuple[str, Spread]
Find = Callable[[Run], Iterable[Found]]


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing to reach.

    Attributes:
        text: What is compared with what.
        limit: Where the bar is.
        at_most: Whether the ratio has to stay below it; else it has to be above.
        find: The ratios that count, each with where it was found; the worst is reported.
    """

    text: str
    limit: float
    at_most: bool
    find: Find

    def judge(self, run: Run) -> Verdict:
        """What a run says of it."""
        found = list(self.find(run))
        if not found:
            return Verdict(self, "", None)
        worst = max if self.at_most else min
        return Verdict(self, *worst(found, key=lambda one: one[1].median))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar, and what was measured.

    Attributes:
        bar: The bar.
        where: Where the worst ratio was found, if there are several places; else empty.
        measured: The worst ratio; None if nothing was measured.
    """

    bar: Bar
    where: str
    measured: Spread | None

    @property
    def met(self) -> bool:
        """Whether the median has reached the bar."""
        if self.measured is None:
            return False
        if self.bar.at_most:
            return self.measured.median <= self.bar.limit
        return self.measured.median >= self.bar.limit


def verdicts(run: Run) -> list[Verdict]:
    """Every bar, judged."""
    return [bar.judge(run) for bar in BARS]


def _faster(ours: Turn, theirs: Turn) -> float:
    return rate(ours) / rate(theirs)


def _longer(ours: Turn, theirs: Turn) -> float:
    return ours.p50 / theirs.p50


def _later(ours: Turn, theirs: Turn) -> float:
    return ours.p99 / theirs.p99


def _against(ratio: Ratio, ours: str, theirs: Sequence[str], workloads: Sequence[str]) -> Find:
    """One contender against others; turns of one round stood next to each other."""

    def find(run: Run) -> Iterator[Found]:
        for workload in workloads:
            for other in theirs:
                mine, others = run.of(workload, ours), run.of(workload, other)
                if mine and others:
                    place = [WORKLOADS[workload].title] if len(workloads) > 1 else []
                    place += [CONTENDERS[other].title] if len(theirs) > 1 else []
                    yield ", ".join(place), Spread.of(map(ratio, mine, others))

    return find


def _step_milliseconds(contender: str, workload: str) -> Find:
    """The median of a step, by itself."""

    def find(run: Run) -> Iterator[Found]:
        turns = run.of(workload, contender)
        if turns:
            yield "", Spread.of(turn.p50 / 1000 for turn in turns)

    return find


def _waiting(workload: str) -> Find:
    """The part of a core that each side of each transport burns while it waits.

    That is what a step takes of the processor beyond what it takes where nothing is waited for.
    """

    def find(run: Run) -> Iterator[Found]:
        for key, contender in CONTENDERS.items():
            waiting, busy = run.of(workload, key), run.of("cartpole", key)
            if contender.group == "rlmesh" and waiting and busy:
                for side in ("client_cpu", "server_cpu"):
                    burnt = _burnt(operator.attrgetter(side))
                    place = f"{contender.title}, {side.removesuffix('_cpu')}"
                    yield place, Spread.of(map(burnt, waiting, busy))

    return find


def _burnt(cpu: Callable[[Turn], float]) -> Ratio:
    return lambda waiting, busy: (
        (cpu(waiting) - cpu(busy) * waiting.steps / busy.steps) / waiting.wall
    )


def _crowd(run: Run) -> Iterator[Found]:
    if run.crowd:
        pairs = zip(run.crowd["on"], run.crowd["off"], strict=True)
        yield "", Spread.of(on.total / off.total for on, off in pairs)


_ZMQ = ("zmq-tcp", "zmq-ipc")
# What other processes leave of the processors is no matter of these.
_ALL = tuple(key for key, workload in WORKLOADS.items() if not workload.busy)

BARS = (
    Bar(
        "CartPole: how much faster shm is than AsyncVectorEnv",
        6.0,
        at_most=False,
        find=_against(_faster, "shm", ["async"], ["cartpole"]),
    ),
    Bar(
        "CartPole: the p50 of shm, to the in-process step's",
        3.0,
        at_most=True,
        find=_against(_longer, "shm", ["in-process"], ["cartpole"]),
    ),
    Bar(
        "the same, the goal beyond the bar",
        2.0,
        at_most=True,
        find=_against(_longer, "shm", ["in-process"], ["cartpole"]),
    ),
    Bar(
        "CartPole: how much faster shm is than PufferLib",
        1.0,
        at_most=False,
        find=_against(_faster, "shm", ["puffer-one"], ["cartpole"]),
    ),
    Bar(
        "CartPole: the p99 of shm, to PufferLib's",
        1.5,
        at_most=True,
        find=_against(_later, "shm", ["puffer-one"], ["cartpole"]),
    ),
    Bar(
        "CartPole on a busy machine: how much faster shm is than PufferLib",
        5.0,
        at_most=False,
        find=_against(_faster, "shm", ["puffer-one"], ["cartpole-busy"]),
    ),
    Bar(
        "84x84x3 and 224x224x3: how much faster shm is than AsyncVectorEnv",
        3.0,
        at_most=False,
        find=_against(_faster, "shm", ["async"], ["image-84", "image-224"]),
    ),
    Bar(
        "480x640x3 and 1080x1920x3: how much faster shm is than AsyncVectorEnv",
        1.0,
        at_most=False,
        find=_against(_faster, "shm", ["async"], ["image-480", "image-1080"]),
    ),
    Bar(
        "Dict: how much faster shm is than pyzmq with msgpack",
        4.0,
        at_most=False,
        find=_against(_faster, "shm", _ZMQ, ["dict"]),
    ),
    Bar(
        "CartPole: the p50 of shm to an isolated environment, to one that is not",
        1.15,
        at_most=True,
        find=_against(_longer, "isolated", ["shm"], ["cartpole"]),
    ),
    Bar(
        "64 CartPoles: the p50 of shm, to the in-process SyncVectorEnv's",
        1.2,
        at_most=True,
        find=_against(_longer, "shm", ["in-process"], ["vector-64"]),
    ),
    Bar(
        "the same, by steps a second: the part of the in-process rate",
        0.8,
        at_most=False,
        find=_against(_faster, "shm", ["in-process"], ["vector-64"]),
    ),
    Bar(
        "TCP, every workload: the p50 of grpc, to a bare grpcio stream's",
        1.25,
        at_most=True,
        find=_against(_longer, "grpc", ["grpcio-stream"], _ALL),
    ),
    Bar(
        "TCP, every workload: how much faster direct is than pyzmq with msgpack",
        1.0,
        at_most=False,
        find=_against(_faster, "direct", ["zmq-tcp"], _ALL),
    ),
    Bar(
        "64 CartPoles in 2 workers: how much faster make_vec is than AsyncVectorEnv",
        3.0,
        at_most=False,
        find=_against(_faster, "make-vec", ["async"], ["workers-64"]),
    ),
    Bar(
        "the same, than PufferLib",
        1.0,
        at_most=False,
        find=_against(_faster, "make-vec", ["puffer"], ["workers-64"]),
    ),
    Bar(
        "8 that sleep 5 ms in 8 workers: the p50 of make_vec, in ms",
        6.0,
        at_most=True,
        find=_step_milliseconds("make-vec", "workers-sleep"),
    ),
    Bar(
        "one ten times slower: how much faster batches of 4 are than waiting for all",
        3.0,
        at_most=False,
        find=_against(_faster, "make-vec-recv", ["make-vec"], ["workers-straggler"]),
    ),
    Bar(
        "a 5 ms environment: the part of a core that waiting takes",
        0.05,
        at_most=True,
        find=_waiting("slow-env"),
    ),
    Bar(
        "a 5 ms policy: the part of a core that waiting takes",
        0.05,
        at_most=True,
        find=_waiting("slow-policy"),
    ),
    Bar(
        f"{PAIRS} pairs on {CORES} cores: the throughput, to that without spinning",
        1.0,
        at_most=False,
        find=_crowd,
    ),
)
