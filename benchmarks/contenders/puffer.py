"""PufferLib's Multiprocessing: workers that wait in a loop, and write into shared memory."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
from collections.abc import Callable, Generator
from typing import Any

from benchmarks.contenders.driven import Driven, UnavailableError
from benchmarks.workloads import Workload


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


def _emulated(factory: Callable[[], Any], buf: Any = None) -> Any:
    """An environment as PufferLib steps it."""
    emulation: Any = importlib.import_module("pufferlib.emulation")
    return emulation.GymnasiumPufferEnv(env=factory(), buf=buf)
