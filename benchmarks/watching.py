"""What it costs a client that somebody watches its environment.

    python -m benchmarks.watching

The client, the server and each viewer are processes of their own. Turns without a viewer, with
three of them at 30 frames a second and with one that reads nothing alternate, in one run, and the
median step of each is compared with that of the turn without a viewer before it.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Generator
from typing import Any

import rlmesh
from benchmarks.environments import Camera
from rlmesh.client.watching import EndpointWatcher
from rlmesh.security import ANYBODY
from rlmesh.view.serving import give_way

RATE = 30.0
# After five seconds a viewer that takes nothing counts as none.
_LEAD = 6.0
# What the path of a step does for viewers where there are none.
_WITHOUT = "watch = session.watch\nif watch is not None:\n    pass"


def main() -> None:
    """Measures, and prints what it found; with an argument, it is a server or a viewer."""
    parser = argparse.ArgumentParser(description="Measures what it costs that somebody watches.")
    parser.add_argument("--role", choices=["server", "viewer", "stalled"], help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--turns", type=int, default=5, help="how often all take turns")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a turn lasts")
    given = parser.parse_args()
    if given.role == "server":
        _serve()
    elif given.role is not None:
        _look(given.address, stalled=given.role == "stalled")
    else:
        _measure(given.turns, given.seconds)


def _measure(turns: int, seconds: float) -> None:
    with _process("server") as server:
        address = _line(server)
        ratios: dict[str, list[float]] = {"three viewers": [], "a stalled viewer": []}
        medians: list[float] = []
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as env:
            env.reset(seed=0)
            _turn(env, seconds)
            for _ in range(turns):
                for name, roles in (
                    ("three viewers", ("viewer",) * 3),
                    ("a stalled viewer", ("stalled",)),
                ):
                    before = _turn(env, seconds)
                    with contextlib.ExitStack() as stack:
                        for role in roles:
                            viewer = stack.enter_context(_process(role, address))
                            _line(viewer)
                        ratios[name].append(_turn(env, seconds, _LEAD) / before)
                    medians.append(before)
    print(f"a step without a viewer: {1e6 * statistics.median(medians):.1f} us, p50")
    for name, found in ratios.items():
        print(
            f"with {name}: {statistics.median(found):.3f} times that "
            f"(turns: {', '.join(f'{each:.3f}' for each in found)})"
        )
    setup = "class Session:\n    __slots__ = ('watch',)\nsession = Session()\nsession.watch = None"
    number = 2_000_000
    best = min(timeit.repeat(_WITHOUT, setup, number=number)) / number
    empty = min(timeit.repeat("pass", number=number)) / number
    print(f"what a step pays where nobody watches: {1e9 * (best - empty):.0f} ns")


def _line(process: subprocess.Popen[bytes]) -> str:
    """The line that a process writes when it is ready."""
    line = b"" if process.stdout is None else process.stdout.readline()
    if not line:
        raise SystemExit("a process of the benchmark has ended")
    return line.decode().strip()


def _turn(env: Any, seconds: float, lead: float = 0.3) -> float:
    """The median step of a turn, in seconds, after some that do not count."""
    # What ended just before shall not count.
    until = time.perf_counter() + lead
    while time.perf_counter() < until:
        env.step(0)
    taken: list[float] = []
    until = time.perf_counter() + seconds
    now = time.perf_counter()
    while now < until:
        began = now
        env.step(0)
        now = time.perf_counter()
        taken.append(now - began)
    return statistics.median(taken)


def _serve() -> None:
    server = rlmesh.EnvServer(Camera(480, 640))
    print(server.address, flush=True)
    server.serve()


def _look(address: str, *, stalled: bool) -> None:
    # As `rlmesh view` and the process of `view=` do.
    give_way()
    watcher = EndpointWatcher(address, ANYBODY)
    watcher.status()
    shown = watcher.watch(rate=RATE, env_index=0, render_rate=0.0)
    next(shown)
    print("looks", flush=True)
    if stalled:
        signal.pause()
    for _ in shown:
        pass


@contextlib.contextmanager
def _process(role: str, address: str = "") -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.watching", "--role", role, "--address", address],
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
