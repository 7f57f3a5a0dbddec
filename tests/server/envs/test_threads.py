"""Environments that are bound to the thread that made them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rlmesh.errors import RemoteEnvError
from support.sample_envs import ScriptedEnv
from support.serving import remote


class Bound(ScriptedEnv):
    """Uses something that is bound to a thread at `reset` and at `step`."""

    def __init__(self, use: Callable[[sqlite3.Connection], Any]) -> None:
        super().__init__()
        self.database = sqlite3.connect(":memory:")
        self.script = {name: lambda: use(self.database) and None for name in ("reset", "step")}

    def close(self) -> None:
        # Only the thread that made the connection can close it: the server's in one test.
        with contextlib.suppress(sqlite3.ProgrammingError):
            self.database.close()


BOUND: dict[str, Callable[[sqlite3.Connection], Any]] = {
    "sqlite3": lambda database: database.execute("select 1"),
    "the current event loop": lambda _: asyncio.get_event_loop(),
    "handlers of signals": lambda _: signal.signal(signal.SIGUSR1, signal.SIG_DFL),
}


@pytest.mark.parametrize("what", BOUND)
def test_a_library_that_is_bound_to_its_thread_fails_with_both_threads_and_what_to_do(
    what: str,
) -> None:
    env = Bound(BOUND[what])
    with contextlib.closing(env), remote(env) as client:
        with pytest.raises(RemoteEnvError) as caught:
            client.reset()
        made_on = threading.current_thread().name
        assert f"made on the thread {made_on!r} and is called on the thread 'rlmesh-env'" in str(
            caught.value
        )
        assert "pass EnvServer a callable" in str(caught.value)
        env.script.pop("reset")
        client.reset()
        with pytest.raises(RemoteEnvError, match="made on the thread"):
            client.step(client.action_space.sample())


def test_a_callable_makes_the_environment_on_the_thread_that_calls_it() -> None:
    with remote(lambda: Bound(BOUND["sqlite3"])) as client:
        client.reset()
        client.step(client.action_space.sample())


def test_another_error_says_nothing_of_threads() -> None:
    env = ScriptedEnv()
    env.script["reset"] = lambda: 1 / 0
    with remote(env) as client, pytest.raises(RemoteEnvError) as caught:
        client.reset()
    assert "made on the thread" not in str(caught.value)
