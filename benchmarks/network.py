"""Steps across a network: two hosts in network namespaces, and a line of a given rate and delay.

    python -m benchmarks.network --publish

With `--line` and `--env` it measures and publishes a part, and keeps what was published of the
rest. Where a part fails, the others are measured and published all the same.

It needs Linux, the rights of root, and the tools `ip` and `tc` (Debian: iproute2). `tbf` of the
kernel gives the line its rate, in both directions; `benchmarks.line` carries the packets and gives
it its delay and its loss. Compressions take turns on one line, in one run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np

import rlmesh
from benchmarks.publishing import with_block

_ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = _ROOT / "docs/network.md", _ROOT / "docs/_static/network.json"

_TRANSPORTS = ("direct", "grpc")
COMPRESSIONS: tuple[Literal["none", "lz4", "zstd", "auto"], ...] = ("none", "lz4", "zstd", "auto")
FLEET, MANY = 8, 8
_FILMED = 32
HOST = "10.77.0.2"
# Of a network with large frames: the line is a program, for which small packets are too many.
_MTU = 9000
_READY_SECONDS = 120.0


@dataclass(frozen=True)
class Line:
    """A network line.

    Attributes:
        mbit: Its rate in each direction, in Mbit/s.
        rtt_ms: How long a message and its answer take on it together, in milliseconds.
        loss_percent: How many of its packets are lost.
    """

    mbit: int
    rtt_ms: float
    loss_percent: float = 0.0

    def __str__(self) -> str:
        rate = "1 Gbit/s" if self.mbit == 1000 else f"{self.mbit} Mbit/s"
        loss = f", {self.loss_percent} % lost" if self.loss_percent else ""
        return f"{rate}, {self.rtt_ms:g} ms{loss}"


LINES = [
    *(Line(mbit, rtt_ms) for mbit in (1000, 100) for rtt_ms in (0.2, 1, 10)),
    Line(1000, 1, 0.1),
    Line(100, 1, 0.1),
]


@dataclass(frozen=True)
class Rate:
    """How fast one way of stepping was on a line.

    Attributes:
        line: The line, as a page names it.
        workload: What was stepped.
        transport: The transport.
        compression: The compression.
        steps: Steps a second, of all environments together: the median of the turns.
    """

    line: str
    workload: str
    transport: str
    compression: str
    steps: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What was measured."""
        return self.line, self.workload, self.transport, self.compression


class Filmed(gymnasium.Env[Any, Any]):
    """Frames of HalfCheetah, rendered by MuJoCo before the first step, and shown again in turns.

    So a step costs the environment next to nothing, and the frames are those of a real one.

    Args:
        height: Of a frame, in pixels.
        width: Likewise.
    """

    def __init__(self, height: int, width: int) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(2)
        self._frames = _film(height, width)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """The first frame, shape (height, width, 3)."""
        super().reset(seed=seed)
        return self._frames[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The next frame, shape (height, width, 3)."""
        self._steps += 1
        return self._frames[self._steps % _FILMED], 1.0, False, False, {}


@lru_cache
def _film(height: int, width: int) -> list[Any]:
    made = gymnasium.make("HalfCheetah-v5", render_mode="rgb_array", height=height, width=width)
    made.action_space.seed(0)
    made.reset(seed=0)
    frames: list[Any] = []
    for _ in range(_FILMED):
        made.step(made.action_space.sample())
        frames.append(np.array(made.render(), np.uint8))
    made.close()
    return frames


ENVS: dict[str, Any] = {
    "cartpole": lambda: gymnasium.make("CartPole-v1"),
    "image-84": lambda: Filmed(84, 84),
    "image-480": lambda: Filmed(480, 640),
}


def main() -> None:
    """Measures, or is one of the two hosts."""
    parser = argparse.ArgumentParser(description="Measures steps across a network.")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long a turn lasts")
    parser.add_argument(
        "--turns", type=int, default=3, help="how often the compressions take turns"
    )
    parser.add_argument("--line", type=int, action="append", help="only the line of this number")
    parser.add_argument("--env", choices=ENVS, action="append", help="only this environment")
    parser.add_argument("--publish", action="store_true", help="write the page")
    parser.add_argument("--serve", metavar="HOST", help=argparse.SUPPRESS)
    parser.add_argument("--drive", metavar="ADDRESS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    # The end by SIGTERM is that by Ctrl-C: every context is left, so that nothing stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # For the processes that this one starts: Mesa on the CPU, as there may be no screen and no GPU.
    os.environ.setdefault("MUJOCO_GL", "egl")
    if given.serve is not None:
        _serve(given.env[0], given.serve)
    elif given.drive is not None:
        for rate in _drive(given.drive, given.env[0], given.turns, given.seconds):
            print(json.dumps(rate), flush=True)
    else:
        numbers: list[int] = given.line or list(range(len(LINES)))
        failures: list[str] = []
        measured: list[Rate] = []
        with _hosts() as (here, there):
            for env in given.env or list(ENVS):
                for line in [LINES[number] for number in numbers]:
                    try:
                        # What comes before a failure stays.
                        measured.extend(
                            _measure(here, there, line, env, given.turns, given.seconds)
                        )
                    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                        failures.append(f"{env} on {line}: {error}")
                    if given.publish:
                        _publish(measured)
        print(block(measured))
        if failures:
            sys.exit("Not measured: " + "; ".join(failures))


def _publish(measured: Sequence[Rate]) -> None:
    """Writes the page and its raw results, with what they had of other lines and workloads."""
    known = {rate.key: rate for rate in published()}
    known.update({rate.key: rate for rate in measured})
    rates = sorted(known.values(), key=_place)
    RESULTS.write_text(to_json(rates))
    PAGE.write_text(with_block(PAGE.read_text(), block(rates)))


def published() -> list[Rate]:
    """What the page shows, from its raw results."""
    return [Rate(**row) for row in json.loads(RESULTS.read_text())]


def to_json(rates: Sequence[Rate]) -> str:
    """The raw results as they are kept."""
    return json.dumps([asdict(rate) for rate in rates], indent=1) + "\n"


def _place(rate: Rate) -> tuple[int, ...]:
    """Where a rate stands among the others."""
    env, _, many = rate.workload.partition(", ")
    return (
        list(ENVS).index(env),
        [str(line) for line in LINES].index(rate.line),
        _TRANSPORTS.index(rate.transport),
        ("", f"step_many of {MANY}", f"{FLEET} environments").index(many),
        [str(name) for name in COMPRESSIONS].index(rate.compression),
    )


def _measure(
    here: str, there: str, line: Line, env: str, turns: int, seconds: float
) -> Iterator[Rate]:
    """Steps an environment on a line, in all ways.

    Raises:
        RuntimeError: If the line, the server or the client fails. What was measured until then was
            given.
    """
    with _line(here, there, line), _served(there, env) as address:
        driver = [*_self(here), "--drive", address, "--env", env]
        driver += ["--turns", str(turns), "--seconds", str(seconds)]
        with subprocess.Popen(driver, stdout=subprocess.PIPE, text=True) as process:
            for text in process.stdout or ():
                found = json.loads(text)
                print(f"{line}: {found}", file=sys.stderr, flush=True)
                yield Rate(line=str(line), **found)
        if process.returncode:
            raise RuntimeError(f"the client ended with code {process.returncode}")


def _self(namespace: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, sys.executable, "-m", "benchmarks.network"]


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True)


@contextlib.contextmanager
def _hosts() -> Generator[tuple[str, str]]:
    """Two namespaces; their names."""
    here, there = f"rlmesh-{os.getpid()}-a", f"rlmesh-{os.getpid()}-b"
    with contextlib.ExitStack() as stack:
        for name in (here, there):
            _run(f"ip netns add {name}")
            stack.callback(_run, f"ip netns delete {name}")
            _run(f"ip -n {name} link set lo up")
        yield here, there


@contextlib.contextmanager
def _line(here: str, there: str, line: Line) -> Generator[None]:
    """A line between the two namespaces; the second's address is `HOST`."""
    command = [sys.executable, "-m", "benchmarks.line", here, there]
    command += [str(line.rtt_ms / 2000), str(line.loss_percent / 100)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("the line has not started")
            for name, address in ((here, "10.77.0.1"), (there, HOST)):
                _run(f"ip -n {name} address add {address}/24 dev line")
                _run(f"ip -n {name} link set line mtu {_MTU} up")
                _run(
                    f"tc -n {name} qdisc replace dev line root tbf rate {line.mbit}mbit "
                    f"burst 64kb latency 500ms"
                )
            yield
        finally:
            process.terminate()
            process.wait(_READY_SECONDS)


def _serve(env: str, host: str) -> None:
    """Serves sessions of an environment until the process is ended."""
    # The frames of all sessions are rendered now, and not while a client waits.
    ENVS[env]().close()
    server = rlmesh.EnvServer(
        ENVS[env],
        f"tcp://{host}:0",
        direct=f"tcp://{host}:0",
        sessions=FLEET,
        # The line ends in the other namespace of this machine.
        insecure=True,
    )
    with server:
        print(server.address, flush=True)
        server.wait()


@contextlib.contextmanager
def _served(namespace: str, env: str) -> Generator[str]:
    """A server in a namespace, as the other process; its address."""
    command = [*_self(namespace), "--serve", HOST, "--env", env]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip() if process.stdout else ""
            if not address:
                raise RuntimeError(f"the server of {env} has not started")
            yield address
        finally:
            process.terminate()
            process.wait(_READY_SECONDS)


def _drive(address: str, env: str, turns: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Steps an environment in all ways, in turns; this is the client's process."""
    compressions = COMPRESSIONS if env.startswith("image") else COMPRESSIONS[:1]
    for transport in _TRANSPORTS:
        for workload, drive in _WORKLOADS.items():
            if workload == "many" and env != "cartpole":
                continue
            name = {"single": env, "many": f"{env}, step_many of {MANY}"}.get(
                workload, f"{env}, {FLEET} environments"
            )
            found: dict[str, list[float]] = {}
            for _ in range(turns):
                for compression in compressions:
                    steps = drive(address, transport, compression, seconds)
                    found.setdefault(compression, []).append(steps)
            for name_of, rates in found.items():
                yield {
                    "workload": name,
                    "transport": transport,
                    "compression": name_of,
                    "steps": statistics.median(rates),
                }


def _single(address: str, transport: Any, compression: Any, seconds: float) -> float:
    with contextlib.closing(
        rlmesh.RemoteEnv[Any, Any](
            address, transport=transport, compression=compression, insecure=True
        )
    ) as env:
        _check(env.transport, transport)
        return _rate(env, 0, 1, seconds)


def _fleet(address: str, transport: Any, compression: Any, seconds: float) -> float:
    with contextlib.closing(
        rlmesh.RemoteVectorEnv[Any, Any](
            [address] * FLEET, transport=transport, compression=compression, insecure=True
        )
    ) as envs:
        _check(envs.transport, transport)
        return _rate(envs, np.zeros(FLEET, np.int64), FLEET, seconds)


def _many(address: str, transport: Any, compression: Any, seconds: float) -> float:
    with contextlib.closing(
        rlmesh.RemoteEnv[Any, Any](
            address, transport=transport, compression=compression, insecure=True
        )
    ) as env:
        _check(env.transport, transport)
        count, end = 0, time.perf_counter() + seconds
        env.reset(seed=0)
        began = time.perf_counter()
        while time.perf_counter() < end:
            made = env.step_many([0] * MANY)
            count += len(made.rewards)
            if made.terminations[-1] or made.truncations[-1]:
                env.reset()
        return count / (time.perf_counter() - began)


_WORKLOADS = {"single": _single, "many": _many, "fleet": _fleet}


def _check(got: str, wanted: str) -> None:
    if got != wanted:
        raise RuntimeError(f"the transport {wanted} was asked for, and {got} came")


def _rate(env: Any, action: Any, envs: int, seconds: float) -> float:
    """Steps a second, of all environments together, once `auto` has chosen."""
    env.reset(seed=0)
    for _ in range(20):
        made = env.step(action)
        if envs == 1 and (made[2] or made[3]):
            env.reset()
    count, began = 0, time.perf_counter()
    end = began + seconds
    while time.perf_counter() < end:
        made = env.step(action)
        count += envs
        if envs == 1 and (made[2] or made[3]):
            env.reset()
    return count / (time.perf_counter() - began)


def block(rates: Sequence[Rate]) -> str:
    """The tables of the page."""
    tables: list[str] = []
    for compared in (True, False):
        names = COMPRESSIONS if compared else COMPRESSIONS[:1]
        rows: dict[tuple[str, str, str], dict[str, float]] = {}
        for rate in rates:
            if rate.workload.startswith("image") == compared:
                row = rows.setdefault((rate.workload, rate.transport, rate.line), {})
                row[rate.compression] = rate.steps
        if not rows:
            continue
        heads = ["Environment", "Transport", "Line", *(f"`{name}`" for name in names)]
        if compared:
            heads.append("`auto` to `none`")
        else:
            heads[-1] = "Steps a second"
        tables.append(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for key, row in rows.items():
            cells = [*key, *(f"{row[name]:,.4g}" if name in row else "-" for name in names)]
            if compared:
                both = "auto" in row and "none" in row
                cells.append(f"{row['auto'] / row['none']:.2f}" if both else "-")
            tables[-1] += f"\n| {' | '.join(cells)} |"
    return "\n\n".join(tables) + "\n"


if __name__ == "__main__":
    main()
