"""Serves one environment from a process, compares it with the same one here, and measures both.

`record.py` runs it in the virtual environment of the package: `python probe.py steps INDEX SECONDS`
prints what it found as JSON, and with `frames` what it found of an environment that renders.
"""

from __future__ import annotations

import contextlib
import enum
import inspect
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

import numpy as np

import rlmesh
from compatibility.packages import PACKAGES, RENDERINGS, Package
from rlmesh._cli.loading import EnvRequest, load
from support.comparing import as_declared, difference

_TESTS = Path(__file__).parents[1]
FRAMES = 20
SEED = 17
TRANSPORTS: tuple[Literal["shm", "direct", "grpc"], ...] = ("shm", "direct", "grpc")


def probe(package: Package, seconds: float, steps: int) -> dict[str, Any]:
    """What is found out about an environment.

    Args:
        package: The environment.
        seconds: How long to measure each transport, and the environment in this process.
        steps: How many steps to compare over each transport.

    Returns:
        Which steps were equal: `differences` has a line for each transport where they were not, and
        `infos` the same of infos. `steps` is how many, `rates` has the steps a second.
    """
    found: dict[str, Any] = {"steps": steps, "differences": {}, "infos": {}, "rates": {}}
    with served(package) as address:
        for transport in TRANSPORTS:
            with contextlib.closing(client(package, address, transport)) as remote:
                assert remote.transport == transport
                # One that was stepped before may not be what it was when it was made.
                with contextlib.closing(here(package)) as local:
                    values, infos = compare(package, remote, local, steps)
                    if transport == TRANSPORTS[-1]:
                        # By now it has compiled what it compiles.
                        rates = measured(local, Actions(remote, package), package, seconds)
                        found["rates"]["in-process"] = rates
                found["differences"] |= {transport: values} if values else {}
                found["infos"] |= {transport: infos} if infos else {}
                found["rates"][transport] = rate(remote, package, seconds)
    return found


def frames(package: Package, seconds: float) -> dict[str, Any]:
    """What is found out about an environment's frames.

    Args:
        package: The environment, made with the render mode `rgb_array`.
        seconds: How long to measure the frames.

    Returns:
        `shape` and `dtype` of a frame, the first of the `differences` between the remote frames and
        those of this process, and `rate`, the frames a second of a client.

    Raises:
        RuntimeError: If a frame has one color only.
    """
    with served(package) as address:
        with contextlib.closing(client(package, address, None)) as remote:
            with contextlib.closing(here(package)) as local:
                place, frame = "", np.zeros(0)
                actions = Actions(remote, package)
                for env in (remote, local):
                    _reset(env, package.seed)
                for step in range(FRAMES):
                    frame = remote.render()
                    place = place or difference(frame, local.render(), f"frame {step}") or ""
                    action = actions.sample(remote)
                    for env in (remote, local):
                        env.step(action)
            if np.ptp(frame) == 0:
                raise RuntimeError(f"each frame is of one color, {frame.flat[0]}")
            began, count = time.perf_counter(), 0
            while not count or time.perf_counter() < began + seconds:
                remote.render()
                count += 1
            rate = count / (time.perf_counter() - began)
    shape, dtype = list(frame.shape), str(frame.dtype)
    return {"shape": shape, "dtype": dtype, "differences": place, "rate": rate}


def here(package: Package) -> Any:
    """The environment in this process, as the command line makes it."""
    env = load(EnvRequest(name=package.env, kwargs=package.kwargs, imports=package.imports))
    old = package.kind == "single" and "seed" not in inspect.signature(env.reset).parameters
    return OfOldGym(env) if old else env


class OfOldGym:
    """An environment of Gym 0.21, with the results of Gymnasium."""

    def __init__(self, env: Any) -> None:
        self._env = env

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._env.seed(seed)
        return self._env.reset(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Any]:
        observation, reward, done, info = self._env.step(action)
        truncated = bool(info.get("TimeLimit.truncated", False))
        return observation, reward, bool(done) and not truncated, truncated, info

    def close(self) -> None:
        self._env.close()


@contextlib.contextmanager
def served(package: Package) -> Generator[str]:
    """The address of the environment in a process of the command line."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "rlmesh", "serve", package.env]
    command += ["--address", "tcp://127.0.0.1:0", "--direct", "127.0.0.1:0"]
    command += ["--kwargs-json", json.dumps(package.kwargs), "--ready-fd", str(write)]
    for name in package.imports:
        command += ["--import", name]
    # One server serves several clients in turn; each needs an environment that nobody stepped.
    command += ["--sessions", "1"]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as lines:
            address = lines.readline().strip()
        if not address:
            raise RuntimeError(f"rlmesh serve ended with exit code {process.wait()}")
        yield address
    finally:
        process.terminate()
        process.wait()


def client(
    package: Package, address: str, transport: Literal["shm", "direct", "grpc"] | None
) -> Any:
    """A client of the environment's kind."""
    make: Any
    match package.kind:
        case "single":
            make = rlmesh.RemoteEnv
        case "vector":
            make = rlmesh.RemoteVectorEnv
        case "agents":
            # It needs PettingZoo, which the other packages are run without.
            make = rlmesh.RemoteParallelEnv
    return make(address, transport=transport, busy_timeout_seconds=30.0)


class Actions:
    """The actions of a rollout, from one seed."""

    def __init__(self, env: Any, package: Package) -> None:
        self._env = env
        self._agents = package.kind == "agents"
        spaces = (
            [env.action_space(name) for name in env.possible_agents]
            if self._agents
            else [env.action_space]
        )
        for space in spaces:
            space.seed(SEED)

    def sample(self, env: Any) -> Any:
        """The next action of an environment: one of each of its agents that act."""
        if self._agents:
            return {name: self._env.action_space(name).sample() for name in env.agents}
        return self._env.action_space.sample()


def over(package: Package, env: Any, result: Any) -> bool:
    """Whether the environment must be reset now; a vector environment never."""
    if package.kind == "agents":
        return not env.agents
    return package.kind == "single" and bool(result[2] or result[3])


def compare(package: Package, remote: Any, local: Any, steps: int) -> tuple[str, str]:
    """The first difference of values, and the first one of infos, over seeded steps; or none."""
    actions = Actions(remote, package)
    infos = ""
    step = 0
    must_reset, seed = True, package.seed
    while step < steps:
        left_out = (*package.as_text, *(package.unseeded if must_reset else ()))
        if must_reset:
            call = f"the reset before step {step}"
            results = [_reset(env, seed) for env in (remote, local)]
            must_reset, seed = False, None if seed is None else seed + 1
        else:
            call = f"step {step}"
            action = actions.sample(remote)
            results = [env.step(action) for env in (remote, local)]
            must_reset = over(package, remote, results[0])
            step += 1
        (*got, info), (*wanted, its) = (declared(package, remote, each) for each in results)
        place = difference(tuple(got), tuple(wanted), call)
        if place is None and package.kind == "agents":
            place = difference(list(remote.agents), list(local.agents), f"{call}, agents")
        if place is not None:
            return place, infos
        got_info, its_info = (comparable(as_numpy(each), left_out) for each in (info, its))
        infos = infos or difference(got_info, its_info, f"{call}, info") or ""
    return "", infos


def _reset(env: Any, seed: int | None) -> Any:
    # Some have no such parameter, not even for None.
    return env.reset() if seed is None else env.reset(seed=seed)


def declared(package: Package, remote: Any, result: Any) -> tuple[Any, ...]:
    """A result with the types that a client gets; infos stay."""
    observation, *others, info = result
    if package.kind == "agents":
        spaces = remote.observation_spaces
        observation = {name: as_declared(spaces[name], each) for name, each in observation.items()}
        kinds = (float, bool, bool)
        numbers = [
            {name: kind(each) for name, each in values.items()}
            for kind, values in zip(kinds, others, strict=False)
        ]
        return observation, *numbers, info
    observation = as_declared(remote.observation_space, observation)
    arrays: list[Any] = [
        np.asarray(value, kind)
        for kind, value in zip((np.float64, np.bool_, np.bool_), others, strict=False)
    ]
    return observation, *arrays, info


def as_numpy(info: Any) -> Any:
    """An info with NumPy's arrays for those of another library, and integers for an IntEnum's.

    So they arrive.
    """
    if isinstance(info, enum.IntEnum):
        return int(info)
    if isinstance(info, dict):
        return {key: as_numpy(value) for key, value in info.items()}
    if isinstance(info, (list, tuple)):
        return type(info)(as_numpy(value) for value in info)
    if isinstance(info, (np.ndarray, np.generic)) or not hasattr(info, "__array__"):
        return info
    return np.asarray(info)[()]


def comparable(info: Any, left_out: tuple[str, ...] = ()) -> Any:
    """An info without how many seconds an episode took, and without the keys that are left out."""
    if left_out:
        info = {key: value for key, value in info.items() if key not in left_out}
    episode = info.get("episode")
    if not isinstance(episode, dict) or "t" not in episode:
        return info
    return {**info, "episode": {key: value for key, value in episode.items() if key != "t"}}


def rate(env: Any, package: Package, seconds: float) -> float:
    """Steps a second of a client."""
    return measured(env, Actions(env, package), package, seconds)


def measured(env: Any, actions: Actions, package: Package, seconds: float) -> float:
    """Steps a second, the median of three windows, without resets and the choice of actions."""
    windows = sorted(_window(env, actions, package, seconds / 3) for _ in range(3))
    return windows[1]


def _window(env: Any, actions: Actions, package: Package, seconds: float) -> float:
    _reset(env, package.seed)
    spent, steps = 0.0, 0
    end = time.perf_counter() + seconds
    while not steps or time.perf_counter() < end:
        action = actions.sample(env)
        began = time.perf_counter()
        result = env.step(action)
        spent += time.perf_counter() - began
        steps += 1
        if over(package, env, result):
            env.reset()
    return steps / spent


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _, _what, _index, _seconds = sys.argv
    _package = PACKAGES[int(_index)]
    _found = (
        probe(_package, float(_seconds), _package.steps)
        if _what == "steps"
        else frames(RENDERINGS[int(_index)].package, float(_seconds))
    )
    sys.stdout.write(json.dumps(_found) + "\n")
