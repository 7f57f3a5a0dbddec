"""The benchmark runs, and leaves nothing behind. How fast anything is, is no matter of a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.results import Run
from support.repository import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads /proc")

# What needs no library beside RLMesh's own.
CONTENDERS = (
    "in-process",
    "shm",
    "isolated",
    "grpc",
    "async",
    "floor-unix",
    "floor-tcp",
    "grpcio-stream",
)


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks", "--rounds", "1", *options]


def measured(folder: Path, *options: str, variables: Mapping[str, str] | None = None) -> Run:
    """Runs the benchmark with very short turns, and reads what it wrote."""
    subprocess.run(
        command("--seconds", "0.02", "--output", str(folder), *options),
        cwd=ROOT,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return Run.from_json((folder / "results.json").read_text())


def chosen(*contenders: str) -> list[str]:
    return [word for contender in contenders for word in ("--contender", contender)]


def processes_with(marker: str) -> list[int]:
    """The processes in whose environment variables a text stands."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and marker.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


def test_every_contender_takes_its_turns(tmp_path: Path) -> None:
    run = measured(tmp_path, "--workload", "cartpole", *chosen(*CONTENDERS))
    assert run.absent == {"cartpole": {}}
    assert run.turns["cartpole"].keys() == set(CONTENDERS)
    for turns in run.turns["cartpole"].values():
        assert len(turns) == 1
        assert turns[0].steps
        assert turns[0].client_memory
    assert "### CartPole" in (tmp_path / "tables.md").read_text()


def test_both_sides_are_accounted_for(tmp_path: Path) -> None:
    run = measured(tmp_path, "--workload", "vector-8", *chosen("in-process", "shm"))
    [local], [remote] = run.turns["vector-8"]["in-process"], run.turns["vector-8"]["shm"]
    assert (local.server_cpu, local.server_memory) == (0.0, 0)
    assert remote.server_cpu > 0
    assert remote.server_memory


def test_a_floor_without_an_environment_stays_away_from_one_that_sleeps(tmp_path: Path) -> None:
    run = measured(tmp_path, "--workload", "slow-env", *chosen("in-process", "floor-unix"))
    assert run.turns["slow-env"].keys() == {"in-process"}


def test_a_library_that_is_not_installed_is_told(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text('raise ModuleNotFoundError(name="ray")\n')
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = measured(
        tmp_path / "out",
        "--workload",
        "cartpole",
        *chosen("in-process", "ray"),
        variables={"PYTHONPATH": path},
    )
    assert run.absent == {"cartpole": {"ray": "ray is not installed"}}
    assert "Ray actor: ray is not installed" in (tmp_path / "out/tables.md").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    marker = f"BENCHMARK_TEST={tmp_path}"
    with subprocess.Popen(
        command("--seconds", "0.1", "--rounds", "1000", "--workload", "cartpole", *chosen("shm")),
        cwd=ROOT,
        env={**os.environ, "BENCHMARK_TEST": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "cartpole ...\n"
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert processes_with(marker) == []
