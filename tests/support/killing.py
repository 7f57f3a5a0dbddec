"""A client, its server and what is between them, of which one or the other is killed or cut.

A local twin with the same seeds and actions tells what should come. Everything that happens follows
from a seed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from random import Random
from typing import Any

import gymnasium
import pytest

import rlmesh
from rlmesh.errors import SessionLostError
from rlmesh.transports.pipe_transport import PipeTransport
from support.chaos import ChaosProxy
from support.comparing import Declared, assert_same
from support.notes import add_note
from support.serving import start_python

ID = "CartPole-v1"
# Until when an endpoint must be usable again; only a defect takes so long.
SOON = 20.0

_CLIENT = """
import sys, rlmesh
# Of one that comes back the server would keep the session for a while.
env = rlmesh.RemoteEnv(sys.argv[1], transport=sys.argv[2], reconnect=False)
env.reset()
print("stepping", flush=True)
while True:
    if env.step(0)[2]:
        env.reset()
"""


class Chaos:
    """One run.

    Args:
        seed: What everything follows from.
        transport: The transport that the client calls by.
    """

    def __init__(self, seed: int, transport: Any) -> None:
        self._random = Random(seed)  # noqa: S311 - what it draws is no secret
        self._transport = transport
        self._stack = contextlib.ExitStack()
        self._server = self._start_server("tcp://127.0.0.1:0")
        self._address = self._announced()
        self._proxy = self._stack.enter_context(ChaosProxy(seed, faults=("cut", "delay")))
        self._proxy.lead_to(self._address)
        self._twin = Declared(gymnasium.make(ID))
        self._env = self._connect()
        self._over = True

    def run(self, deeds: int) -> None:
        """Does that many deeds, one after the other, steps between them."""
        for _ in range(deeds):
            self._step(self._random.randrange(1, 40))
            self._random.choice(DEEDS)(self)
            self._step(self._random.randrange(1, 40))

    def close(self) -> None:
        """Ends everything; the server, which is idle, by itself."""
        self._env.close()
        self._twin.close()
        self._server.send_signal(signal.SIGTERM)
        code = self._server.wait(SOON)
        self._stack.close()
        assert code == 0, f"the server ended with code {code}"

    def abandon(self) -> None:
        """Ends what is left after a failure."""
        self._server.kill()
        self._server.wait(SOON)
        self._stack.close()

    def cut(self) -> None:
        """Cuts the connection: nobody notices."""
        transport = self._env._env_client._call_client._transport
        if isinstance(transport, PipeTransport):
            transport._pipe.close()
        self._proxy.cut()

    def shake(self) -> None:
        """Has connections cut and delayed anywhere in a message, for as long as some steps take."""
        self._proxy.begin()
        self._step(self._random.randrange(1, 40))
        self._proxy.stop()

    def kill_server(self) -> None:
        """Kills the server and starts another: the episode is lost, and the next one is not."""
        self._server.kill()
        self._server.wait(SOON)
        self._server = self._start_server(self._address)
        assert self._announced() == self._address
        if not self._over:
            with pytest.raises(SessionLostError):
                self._env.step(0)
        # A reset that is the first to notice says so too.
        with contextlib.suppress(SessionLostError):
            self._env.reset()
        self._over = True

    def kill_client(self) -> None:
        """Has another client, kills it, and connects once more."""
        self._env.close()
        command = ["-c", _CLIENT, self._address, self._transport]
        with start_python(command, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "stepping\n"
            other.kill()
        self._env = self._connect()
        self._over = True

    def _step(self, steps: int) -> None:
        for _ in range(steps):
            if self._over:
                seed = self._random.randrange(2**31)
                assert_same(self._env.reset(seed=seed), self._twin.reset(seed=seed))
            action = self._random.getrandbits(1)
            here, there = self._env.step(action), self._twin.step(action)
            assert_same(here, there)
            self._over = there[2] or there[3]

    def _connect(self) -> rlmesh.RemoteEnv[Any, Any]:
        env = rlmesh.RemoteEnv[Any, Any](
            f"tcp://{self._proxy.authority}", transport=self._transport, busy_timeout_seconds=SOON
        )
        assert env.transport == self._transport
        return env

    def _start_server(self, address: str) -> subprocess.Popen[str]:
        return self._stack.enter_context(
            start_python(
                ["-W", "error", "-m", "support.serve_module", ID, "--address", address],
                prefix=("env", "RLMESH_TRANSPORT=direct"),
                stdout=subprocess.PIPE,
            )
        )

    def _announced(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


def play(seed: int, transport: Any, deeds: int) -> None:
    """One run, with what is left of it ended."""
    chaos = Chaos(seed, transport)
    try:
        chaos.run(deeds)
        chaos.close()
    except BaseException as error:
        add_note(error, f"RLMESH_CHAOS_FIRST={seed} RLMESH_CHAOS_SEEDS=1 does the same")
        chaos.abandon()
        raise


DEEDS: tuple[Callable[[Chaos], None], ...] = (
    Chaos.cut,
    Chaos.cut,
    Chaos.shake,
    Chaos.kill_server,
    Chaos.kill_client,
)


@contextlib.contextmanager
def leaving_nothing() -> Generator[None]:
    """Fails if the block leaves threads, descriptors, children or shared memory behind."""
    # What others have left for the collector is not the block's.
    gc.collect()
    before = _holdings()
    yield
    gc.collect()
    after = _holdings()
    # Threads that others left may have been about to end.
    grown = [name for name, held in after.items() if not held <= before[name]]
    assert not grown, f"{after}, before {before}"


def _holdings() -> dict[str, Any]:
    if sys.platform != "linux":
        return {"threads": threading.active_count()}
    maps = Path("/proc/self/maps").read_text()
    return {
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "children": {*Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()},
        "segments": maps.count("memfd:rlmesh"),
    }
