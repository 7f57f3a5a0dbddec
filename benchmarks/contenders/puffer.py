"""PufferLib's Multiprocessing: workers that wait in a loop, and write into shared memory."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import os
import signal
from collections.abc import Callable, Generator
from typing import Any

from benchmarks.contenders.driven import Driven, UnavailableError
from benchmarks.workloads import Workload


@contextlib.contextmanager
def alone(workload: Workload) -> Generator[Driven]:
    """One environment in one worker."""
    if workload.num_envs or workload.key == "dict":
        raise UnavailableError("only measured where one environment is stepped, without a text")
    vector: Any = importlib.import_module("pufferlib.vector")
    make = functools.partial(_emulated, workload.make_one)
    envs = vector.Multiprocessing([make], [[]], [{}], 1, num_workers=1)
    actions = itertools.cycle([action[None] for action in workload.actions()])

    def step() -> bool:
        # It resets its environment by itself, in the step after the last.
        envs.step(next(actions))
        return False

    def reset() -> None:
        _send(envs, signal.SIGCONT)
        envs.reset()

    def rest() -> None:
        # Its worker would take a core from the others' turns.
        _send(envs, signal.SIGSTOP)

    try:
        reset()
        rest()
        yield Driven(step, reset, rest)
    finally:
        _send(envs, signal.SIGCONT)
        envs.close()


def _send(envs: Any, number: signal.Signals) -> None:
    for process in envs.processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


@contextlib.contextmanager
def waiting(workload: Workload) -> Generator[Driven]:
    """A step waits for all."""
    with _made(workload, workload.num_envs) as envs:
        actions = itertools.cycle(workload.actions())

        def step() -> bool:
            envs.step(next(actions))
            return False

        yield Driven(step, envs.reset)


@contextlib.contextmanager
def batches(workload: Workload) -> Generator[Driven]:
    """A step is as many batches as have one entry for each sub-environment."""
    if not workload.batch_size:
        raise UnavailableError("all sub-environments are as fast")
    with _made(workload, workload.batch_size) as envs:
        actions = itertools.cycle(workload.actions())
        count = workload.num_envs // workload.batch_size
        envs.async_reset()

        def reset() -> None:
            """It goes on with what is in a step."""

        def step() -> bool:
            for _ in range(count):
                envs.recv()
                envs.send(next(actions)[: workload.batch_size])
            return False

        yield Driven(step, reset)


@contextlib.contextmanager
def _made(workload: Workload, batch_size: int) -> Generator[Any]:
    # By its name: it is optional, and type checkers do not find it.
    vector: Any = importlib.import_module("pufferlib.vector")
    creators = [functools.partial(_emulated, factory) for factory in workload.factories()]
    # Not by its `make`, which takes no list of callables in this release.
    envs = vector.Multiprocessing(
        creators,
        [[]] * len(creators),
        [{}] * len(creators),
        workload.num_envs,
        num_workers=workload.workers,
        batch_size=batch_size,
        zero_copy=batch_size == workload.num_envs,
    )
    try:
        yield envs
    finally:
        envs.close()


def _emulated(factory: Callable[[], Any]) -> Any:
    """An environment as PufferLib steps it."""
    emulation: Any = importlib.import_module("pufferlib.emulation")
    return emulation.GymnasiumPufferEnv(env=factory())
