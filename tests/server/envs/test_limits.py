"""Servers and workers on systems that forbid what they would use."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from typing import Any

import pytest

import rlmesh
from support.sample_envs import ScriptedEnv
from support.serving import serving, start_python


def forbidden(*_: Any) -> int:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("where", ["the worker", "the server", "both"])
def test_an_isolated_environment_is_served_where_shared_memory_is_forbidden(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> ScriptedEnv:
        # In the worker, which makes its segment afterwards.
        def forbidden(*_: Any) -> int:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        if where != "the server":
            os.memfd_create = forbidden  # type: ignore[assignment] # what a sandbox does
        return ScriptedEnv()

    if where != "the worker":
        monkeypatch.setattr(os, "memfd_create", forbidden)
    with (
        serving(make, isolation="process") as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset()
        assert client.step(client.action_space.sample())[1] == 1.0


PROGRAM = """
import contextlib, resource, sys
import rlmesh
from support.sample_envs import ScriptedEnv

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
with (
    rlmesh.EnvServer({env}, **{settings}) as server,
    contextlib.closing(rlmesh.RemoteEnv(server.address)) as client,
):
    client.reset()
    assert client.step(client.action_space.sample())[1] == 1.0
    print(client.transport)
"""


@pytest.mark.parametrize("isolation", [None, "process"])
def test_a_limit_of_file_sizes_leaves_a_server_and_its_workers_without_shared_memory(
    isolation: str | None,
) -> None:
    env = "ScriptedEnv()" if isolation is None else "ScriptedEnv"
    settings = "{}" if isolation is None else "{'isolation': 'process'}"
    with start_python(
        ["-W", "error", "-c", PROGRAM.format(env=env, settings=settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, complaints = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "grpc\n"), complaints
    assert ("shared memory" in complaints) == (isolation is not None)


def test_a_message_that_needs_memory_which_the_system_refuses_is_an_error_of_the_tree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = ScriptedEnv()
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset()
        assert client.transport == "shm"
        monkeypatch.setattr(os, "memfd_create", forbidden)
        with pytest.raises(rlmesh.errors.EndpointError, match=r"refuses \d+ bytes"):
            client.reset(options={"map": "x" * 10_000_000})
