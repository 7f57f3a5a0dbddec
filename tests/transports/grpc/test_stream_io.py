"""How the gRPC transport has grpc send and receive: by itself, or by what every grpc offers."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import CallTimeoutError, StateError
from rlmesh.transports.grpc import stream_io as exchanger
from support.comparing import assert_same
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving

ACTION = np.array([0.5, -0.25], np.float32)


def differently_built(*_: Any) -> None:
    raise AttributeError("a grpc of another time")


@pytest.mark.parametrize("swift", [True, False])
def test_any_grpc_serves_calls_deadlines_and_ends(
    monkeypatch: pytest.MonkeyPatch, swift: bool
) -> None:
    if not swift:
        monkeypatch.setattr(exchanger, "SwiftStreamIO", differently_built)
    env, gate = ScriptedEnv(), Gate()
    with (
        serving(env) as server,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](
                server.address, transport="grpc", request_timeout_seconds=0.3
            )
        ) as client,
    ):
        readers = [thread for thread in threading.enumerate() if thread.name == "rlmesh-reader"]
        assert bool(readers) is not swift
        client.reset(seed=0)
        assert_same(client.step(ACTION)[0], ACTION)
        env.script["step"] = gate.wait
        with pytest.raises(CallTimeoutError):
            client.step(ACTION)
        with pytest.raises(StateError, match=r"call reset\(\) first"):
            client.step(ACTION)
        gate.open()
        env.script.clear()
        client.reset(seed=0)
        assert_same(client.step(ACTION)[0], ACTION)


class Interrupted:
    """A lock that Ctrl-C keeps from being left."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.acquire, self.release = self.lock.acquire, self.lock.release

    def __enter__(self) -> bool:
        return self.lock.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        raise KeyboardInterrupt


def test_a_lock_of_grpc_that_ctrl_c_left_locked_is_unlocked() -> None:
    lock = Interrupted()
    condition = threading.Condition(lock)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # it has what a condition needs
    # As the lock that a condition makes for itself.
    condition._is_owned = lock.lock._is_owned  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage] # as said
    with pytest.raises(KeyboardInterrupt) as caught, condition:
        pass
    assert exchanger._mended(caught.value)  # pyright: ignore[reportPrivateUsage] # nothing shows it from outside
    free = list[bool]()
    other = threading.Thread(target=lambda: free.append(lock.acquire(blocking=False)))
    other.start()
    other.join(10)
    assert free == [True]
