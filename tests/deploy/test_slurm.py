"""The batch script, with an `srun` that starts its tasks on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.deployed import DEPLOY

SCRIPT = DEPLOY / "slurm/evaluate.sbatch"
TASKS = 2
SRUN = """#!/usr/bin/env bash
# As srun: so many tasks, whose signals and whose end it passes on.
tasks=$SLURM_NTASKS
while [[ $1 == --* ]]; do
    [[ $1 == --ntasks=* ]] && tasks=${1#*=}
    shift
done
pids=()
trap 'kill -TERM "${pids[@]}"' TERM
for ((task = 0; task < tasks; task++)); do
    "$@" &
    pids+=($!)
done
code=0
for pid in "${pids[@]}"; do
    # A signal ends `wait`, and the task goes on until it has drained.
    while wait "$pid"; code=$?; kill -0 "$pid" 2>/dev/null; do :; done
done
exit "$code"
"""


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The variables of a job on one node with two tasks."""
    for needed in ("bash", "openssl"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is missing on this machine")
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except socket.gaierror:
        pytest.skip("this machine does not know its own name")
    programs = tmp_path / "rlmesh/bin"
    programs.mkdir(parents=True)
    for name, text in (
        ("srun", SRUN),
        ("python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'),
        ("rlmesh", f'#!/bin/sh\nexec "{sys.executable}" -m rlmesh "$@"\n'),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "RLMESH": str(programs.parent),
        "PROGRAMS": str(DEPLOY),
        "JOB_FOLDER": str(tmp_path),
        "SEEDS": "5",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NTASKS": str(TASKS),
        "SLURM_SUBMIT_DIR": str(tmp_path),
    }


def test_the_batch_script_evaluates_each_seed_once_and_leaves_nothing(
    job: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env=job,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert sorted(json.loads(line)["seed"] for line in lines) == [0, 1, 2, 3, 4]
    # Its servers have ended with it, and its secrets are gone.
    assert not (tmp_path / "rlmesh-7").exists()


def test_a_signal_before_the_time_is_over_ends_the_servers(
    job: dict[str, str], tmp_path: Path
) -> None:
    with subprocess.Popen(
        ["bash", str(SCRIPT)],
        env={**job, "SEEDS": "1000000"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            assert running.stdout is not None
            # The first episode has ended, so everything runs.
            while not running.stdout.readline().startswith("{"):
                assert running.poll() is None
            # To the script alone, as `--signal=B:TERM` does.
            running.send_signal(signal.SIGTERM)
            running.stdout.read()
            assert running.wait(60) == 128 + signal.SIGTERM
        finally:
            # What a failure has left over.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    assert not (tmp_path / "rlmesh-7").exists()
