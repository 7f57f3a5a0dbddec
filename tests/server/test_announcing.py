"""A server announces its address whole, beside others, and takes it away at its end."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import rlmesh
from rlmesh.address import TcpAddress
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.server.announcement import Announcement
from support.serving import serving


def test_servers_that_begin_and_end_at_once_share_a_file(tmp_path: Path) -> None:
    shared = tmp_path / "servers"
    together = threading.Barrier(8)
    seen: list[str] = []

    def live(port: int) -> None:
        announcement = Announcement(shared)
        together.wait(20)
        for _ in range(20):
            announcement.publish(TcpAddress("127.0.0.1", port))
            text = shared.read_text()
            assert text.endswith("\n")
            seen.extend(text.splitlines())
            announcement.withdraw()
        announcement.publish(TcpAddress("127.0.0.1", port))

    threads = [threading.Thread(target=live, args=(port,)) for port in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = {f"tcp://127.0.0.1:{port}" for port in range(1, 9)}
    assert {*seen} <= every
    assert sorted(shared.read_text().splitlines()) == sorted(every)
    assert [path.name for path in tmp_path.iterdir()] == ["servers"]


def test_an_address_for_every_interface_has_the_name_of_this_machine(tmp_path: Path) -> None:
    shared = tmp_path / "servers"
    Announcement(shared).publish(TcpAddress("0.0.0.0", 5555))  # noqa: S104 - written, not bound to
    assert shared.read_text() == f"tcp://{socket.gethostname()}:5555\n"


def test_a_model_worker_announces_its_address_too(tmp_path: Path) -> None:
    class Zero:
        observation_space = gym.spaces.Box(-1, 1, (2,))
        action_space = gym.spaces.Discrete(2)

        def predict(self, observation: Any) -> Any:
            return 0

    with rlmesh.ModelWorker(Zero(), announce=tmp_path) as worker:
        (path,) = tmp_path.iterdir()
        assert path.read_text() == f"{worker.address}\n"
    assert not [*tmp_path.iterdir()]


def test_a_place_that_cannot_be_written_to_is_refused_and_nothing_is_bound(tmp_path: Path) -> None:
    env = gym.make("CartPole-v1")
    with pytest.raises(InvalidArgumentError, match="no such folder; make it first"):
        rlmesh.EnvServer(env, announce=f"{tmp_path}/missing/")
    with pytest.raises(InvalidArgumentError, match="no file can be made in"):
        rlmesh.EnvServer(env, announce=tmp_path / "missing" / "servers")
    with pytest.raises(InvalidArgumentError, match="begin with a dot"):
        rlmesh.EnvServer(env, announce=tmp_path / ".servers")
    with pytest.raises(ArgumentTypeError, match="announce must be the path"):
        rlmesh.EnvServer(env, announce=3)  # type: ignore[arg-type]


def test_an_announcement_that_cannot_be_taken_away_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shared = tmp_path / "servers"
    with serving(gym.make("CartPole-v1"), announce=shared):
        shared.write_bytes(b"\xff\n")
    assert "the address stays announced" in caplog.text
