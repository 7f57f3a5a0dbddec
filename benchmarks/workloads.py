"""The workloads: which environment is stepped, how many at once, and how slow the policy is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from benchmarks.environments import Busy, Camera, Robot, Slow, Telemetry
from benchmarks.guards import is_array, is_dict, is_sequence

Env = gym.Env[Any, Any]
Local = Env | gym.vector.VectorEnv[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """What is stepped, and by which contenders.

    Attributes:
        key: Its name on the command line.
        title: Its name on the page.
        make_one: Makes one environment; all of them take Discrete(2) actions.
        num_envs: How many of them one step steps; 0: one environment that is no vector.
        policy_seconds: How long the policy sleeps between two steps.
        bare: Whether a floor without an environment says anything.
        busy: How many processes spin beside it.
        workers: How many worker processes the sub-environments have; 0: it is no workload of those.
        batch_size: For how many sub-environments those wait that do not wait for all; 0: for all.
        make_last: Makes the last sub-environment, where that is another one.
        envpool: What EnvPool calls the environment, where it has it.
    """

    key: str
    title: str
    make_one: Callable[[], Env]
    num_envs: int = 0
    policy_seconds: float = 0.0
    bare: bool = True
    busy: int = 0
    workers: int = 0
    batch_size: int = 0
    make_last: Callable[[], Env] | None = None
    envpool: str = ""

    def factories(self) -> list[Callable[[], Env]]:
        """What makes the sub-environments."""
        return [self.make_one] * (self.num_envs - 1) + [self.make_last or self.make_one]

    def make(self) -> Local:
        """The environment as it is stepped in one process."""
        if self.num_envs:
            return gym.vector.SyncVectorEnv(self.factories())
        return self.make_one()

    def actions(self) -> list[Any]:
        """The actions that every contender repeats: `int64`, shape () or (num_envs,)."""
        rng = np.random.default_rng(0)
        shape = (64, self.num_envs) if self.num_envs else 64
        return list(rng.integers(0, 2, shape, np.int64))

    def answer_bytes(self) -> int:
        """How many bytes a step's result takes: values, texts, and some 30 of numbers and tags."""
        env = self.make()
        try:
            env.reset(seed=0)
            result = env.step(self.actions()[0])
        finally:
            env.close()
        return 30 + sum(_sizes(result[0])) + 10 * self.num_envs + sum(_sizes(result[4]))


def _sizes(value: Any) -> Iterator[int]:
    if is_dict(value):
        for name, item in value.items():
            yield len(name) + 2
            yield from _sizes(item)
    elif is_sequence(value):
        for item in value:
            yield from _sizes(item)
    elif is_array(value):
        yield value.nbytes
    else:
        yield len(value.encode()) + 2 if isinstance(value, str) else 8


def _cartpole() -> Env:
    return gym.make("CartPole-v1")


def _sleeping(seconds: float) -> Callable[[], Env]:
    return lambda: Slow(_cartpole(), seconds)


def _computing() -> Env:
    return Busy(_cartpole(), 0.001)


def _atari() -> Env:
    """Pong with the usual preprocessing: four gray frames of 84x84, one of four frames stepped."""
    import ale_py

    gym.register_envs(ale_py)
    env = gym.make("ALE/Pong-v5", frameskip=1)
    return gym.wrappers.FrameStackObservation(gym.wrappers.AtariPreprocessing(env), 4)


WORKLOADS = {
    workload.key: workload
    for workload in (
        Workload("cartpole", "CartPole", _cartpole),
        Workload("cartpole-busy", "CartPole on a busy machine", _cartpole, bare=False, busy=2),
        Workload("image-84", "An image of 84x84x3", lambda: Camera(84, 84)),
        Workload("image-224", "An image of 224x224x3", lambda: Camera(224, 224)),
        Workload("image-480", "An image of 480x640x3", lambda: Camera(480, 640)),
        Workload("image-1080", "An image of 1080x1920x3", lambda: Camera(1080, 1920)),
        Workload("dict", "A Dict of cameras, state and text", Robot),
        Workload("vector-8", "8 CartPoles in one vector", _cartpole, num_envs=8),
        Workload("vector-64", "64 CartPoles in one vector", _cartpole, num_envs=64),
        Workload("infos", "An info-heavy step", Telemetry),
        Workload("slow-env", "A 5 ms environment", lambda: Slow(_cartpole(), 0.005), bare=False),
        Workload("slow-policy", "A 5 ms policy", _cartpole, policy_seconds=0.005),
        Workload(
            "workers-8",
            "8 CartPoles in 2 workers",
            _cartpole,
            num_envs=8,
            workers=2,
            envpool="CartPole-v1",
        ),
        Workload(
            "workers-64",
            "64 CartPoles in 2 workers",
            _cartpole,
            num_envs=64,
            workers=2,
            envpool="CartPole-v1",
        ),
        Workload(
            "workers-atari",
            "8 times Pong, preprocessed, in 2 workers",
            _atari,
            num_envs=8,
            workers=2,
            envpool="Pong-v5",
        ),
        Workload(
            "workers-sleep",
            "8 environments that sleep 5 ms, in 8 workers",
            _sleeping(0.005),
            num_envs=8,
            workers=8,
        ),
        Workload(
            "workers-compute",
            "8 environments that compute 1 ms, in 2 workers",
            _computing,
            num_envs=8,
            workers=2,
        ),
        Workload(
            "workers-straggler",
            "8 environments that sleep 1 ms, the last one 10 ms, in 8 workers",
            _sleeping(0.001),
            num_envs=8,
            workers=8,
            batch_size=4,
            make_last=_sleeping(0.010),
        ),
    )
}
