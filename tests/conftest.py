"""What holds for every test: reproducible examples, and nothing left behind."""

from __future__ import annotations

import functools
import gc
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Generator

import pytest
from hypothesis import settings

import rlmesh
from support.process import child_processes

# A busy machine is no failure. Under CI, Hypothesis derives its examples from the test alone.
settings.register_profile("rlmesh", parent=settings(), deadline=None)
settings.load_profile("rlmesh")

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them press.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Each worker of pytest-xdist imports all tests, and hundreds of tests start a Python process. Where
# bytecode is switched off, as in many containers, each of them compiles what it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# To start the threads of its linear algebra is a quarter of what the import of NumPy takes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_collection() -> None:
    """Spares the garbage collector the walk through thousands of tests while they are collected."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Spares the garbage collector some thousand tests, which are here to stay."""
    gc.collect()
    gc.freeze()
    gc.enable()


TRANSPORT_NAMES = ("shm", "direct", "grpc")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test of `transports_in_turn` over each transport, if it has fewer cells than these."""
    marks = list(metafunc.definition.iter_markers("parametrize"))
    cells = math.prod(len(mark.args[1]) for mark in marks)
    if "transports_in_turn" in metafunc.fixturenames and cells < len(TRANSPORT_NAMES):
        metafunc.parametrize("transports_in_turn", TRANSPORT_NAMES, indirect=True)


@pytest.fixture(params=TRANSPORT_NAMES)
def each_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The transport that clients of this process use; whoever asks for it runs once over each."""
    return _call_by(request.param, monkeypatch)


@pytest.fixture
def transports_in_turn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The transport that clients of this process use, for tests of what is the same over each.

    A test runs once over each, but the cells of a matrix take turns: of three that follow each
    other in any direction, each runs over another transport.
    """
    if hasattr(request, "param"):
        return _call_by(request.param, monkeypatch)
    # Every argument of a cell has the number of the cell, which counts up in the last mark first.
    number = max(request.node.callspec.indices.values())
    turn = 0
    for mark in reversed([*request.node.iter_markers("parametrize")]):
        number, place = divmod(number, len(mark.args[1]))
        turn += place
    return _call_by(TRANSPORT_NAMES[turn % len(TRANSPORT_NAMES)], monkeypatch)


def _call_by(transport: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RLMESH_TRANSPORT", transport)
    if transport == "direct":
        # Servers have it only where they are asked to.
        make = functools.partialmethod(rlmesh.EnvServer.__init__, direct="tcp://127.0.0.1:0")
        monkeypatch.setattr(rlmesh.EnvServer, "__init__", make)
    return transport


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Generator[None]:
    """Fails a test that leaves a thread or a child process running."""
    threads = set(threading.enumerate())
    children = child_processes()
    yield
    left = [each for each in threading.enumerate() if each not in threads and not each.daemon]
    for thread in left:
        thread.join(timeout=5)
    alive = [thread.name for thread in left if thread.is_alive()]
    assert not alive, f"threads still running: {alive}"
    # The supervisor's thread may be about to collect one that has ended.
    deadline = time.monotonic() + 5
    while orphans := child_processes().keys() - children.keys():
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    assert not orphans, f"child processes left: {[child_processes().get(pid) for pid in orphans]}"
