"""The cell of a notebook that connects, run again."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Generator
from typing import Any

import pytest

import rlmesh
from rlmesh.errors import EndpointBusyError, StateError
from support.serving import serving
from support.vector_envs import SubEnv


@contextlib.contextmanager
def notebook(address: str) -> Generator[dict[str, Any]]:
    """The names of a notebook; what its cells have connected is closed at the end."""
    names: dict[str, Any] = {"address": address, "rlmesh": rlmesh}
    try:
        yield names
    finally:
        for name in ("env", "envs"):
            if names.get(name) is not None:
                names[name].close()


def run(cell: str, names: dict[str, Any]) -> None:
    exec(cell, names)  # noqa: S102 # as a notebook runs its cells


CELLS = {
    "client": "env = rlmesh.RemoteEnv(address)",
    "annotated": "env: rlmesh.RemoteEnv = rlmesh.RemoteEnv(address)",
    "function": "def connect():\n    return rlmesh.RemoteEnv(address)\n\nenv = connect()",
    "wrapper": (
        "from gymnasium.wrappers import TimeLimit\nenv = TimeLimit(rlmesh.RemoteEnv(address), 9)"
    ),
    "registry": (
        "import gymnasium\n"
        "env = gymnasium.make('rlmesh/Remote-v0', address=address, busy_timeout_seconds=None)"
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_running_the_connect_cell_again_takes_the_place_of_its_former_client(name: str) -> None:
    with serving(SubEnv()) as server, notebook(server.address) as names:
        run(CELLS[name], names)
        former = names["env"].unwrapped
        former.reset()
        run(CELLS[name], names)
        names["env"].reset()
        assert repr(former) == (
            f"<RemoteEnv of {server.address!r}, gave its place up to a newer client>"
        )
        with pytest.raises(StateError, match="gave its place up to the newer one; use that"):
            former.reset()


@pytest.mark.parametrize(
    ("env", "sessions", "call"),
    [
        ([SubEnv(), SubEnv()], None, "rlmesh.RemoteVectorEnv(address)"),
        (SubEnv, 2, "rlmesh.RemoteVectorEnv(address, num_envs=2)"),
        (SubEnv(), None, "rlmesh.RemoteVectorEnv([address])"),
    ],
    ids=["vector", "sessions", "addresses"],
)
def test_a_vector_client_gives_all_its_places_up(env: Any, sessions: Any, call: str) -> None:
    with serving(env, sessions=sessions) as server, notebook(server.address) as names:
        for _ in range(2):
            run(f"envs = {call}", names)
            names["envs"].reset()


def test_a_client_keeps_its_place_where_another_is_free() -> None:
    with serving(SubEnv, sessions=2) as server, notebook(server.address) as names:
        run(CELLS["client"], names)
        with contextlib.closing(names["env"]) as former:
            run(CELLS["client"], names)
            former.reset()
            names["env"].reset()


@pytest.mark.parametrize(
    "cell",
    [
        "other = rlmesh.RemoteEnv(address)",
        "rlmesh.RemoteEnv(address)\nenv = None",
        "others = [rlmesh.RemoteEnv(address)]",
    ],
)
def test_a_client_that_is_not_replaced_keeps_its_place(cell: str) -> None:
    with serving(SubEnv()) as server, notebook(server.address) as names:
        run(CELLS["client"], names)
        with pytest.raises(EndpointBusyError):
            run(cell, names)
        names["env"].reset()


def test_a_loop_that_connects_several_times_is_not_a_cell_that_runs_again() -> None:
    with serving(SubEnv()) as server, notebook(server.address) as names:
        with pytest.raises(EndpointBusyError):
            run("for _ in range(2):\n    env = rlmesh.RemoteEnv(address)", names)
        names["env"].reset()


def test_a_dropped_client_in_a_cycle_of_references_gives_its_place_up() -> None:
    with serving(SubEnv()) as server:
        dropped: Any = rlmesh.RemoteEnv(server.address)
        dropped._itself = dropped
        gone = weakref.ref(dropped)
        gc.disable()
        try:
            del dropped
            assert gone() is not None
            rlmesh.RemoteEnv[Any, Any](server.address).close()
        finally:
            gc.enable()
