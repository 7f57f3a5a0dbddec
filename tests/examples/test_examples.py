"""Every file of examples/ runs in its own process, as its first lines say, and does its job."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import gymnasium
import pytest

from rlmesh.contract import read_contract
from rlmesh.typegen import render_module
from support.certificates import make_certificates
from support.repository import ROOT
from support.serving import START_SECONDS, serving

EXAMPLES = ROOT / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.py"))
# tests/trainers/ and tests/trainers_all/ run these, where their packages are.
WITH_TRAINERS = sorted(path.stem for path in EXAMPLES.glob("trainers/*.py"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder outside of the repository: an example needs no other file of it."""
    return tmp_path


def run(name: str, *arguments: str, folder: Path) -> str:
    """Copies one example into a folder, runs it there to its end, and returns what it printed."""
    done = subprocess.run(
        command(name, *arguments, folder=folder),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


def command(name: str, *arguments: str, folder: Path) -> list[str]:
    copy = folder / name
    copy.write_text((EXAMPLES / name).read_text())
    return [sys.executable, "-W", "error", str(copy), *arguments]


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RLMESH_")}
    kept.pop("PYTHONPATH", None)
    return kept


@contextlib.contextmanager
def serving_example(name: str, folder: Path) -> Generator[str]:
    """Runs an example that serves until a signal; gives the address that it prints."""
    started = subprocess.Popen(
        command(name, "tcp://127.0.0.1:0", folder=folder),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    with started:
        try:
            assert started.stdout is not None
            yield started.stdout.readline().split()[-1]
            started.send_signal(signal.SIGINT)
            assert started.wait(START_SECONDS) == 0
        finally:
            started.kill()


def test_an_environment_of_ones_own_is_served_and_driven_with_wrappers(folder: Path) -> None:
    with serving_example("serve_your_own.py", folder) as address:
        printed = run("drive_with_wrappers.py", address, folder=folder)
    lines = re.findall(r"^episode (\d): (\d+) steps, return -?\d+\.\d$", printed, re.MULTILINE)
    assert [episode for episode, _ in lines] == ["0", "1", "2"]
    # The wrapper on the client's side ends what the environment does not end.
    assert all(0 < int(steps) <= 50 for _, steps in lines)


def test_a_vector_environment_gives_a_batch(folder: Path) -> None:
    printed = run("vector_env.py", folder=folder)
    found = re.fullmatch(r"batch of shape \(200, 4, 4\), (\d+) episodes, mean (\S+)\n", printed)
    assert found, printed
    # 800 steps of a random policy on CartPole, whose episodes take some 20 steps.
    assert int(found[1]) > 10
    assert 8 < float(found[2]) < 80


def test_the_slowest_environment_holds_up_no_other(folder: Path) -> None:
    printed = run("parallel_envs.py", folder=folder)
    steps = [int(number) for number in re.findall(r"\d+", printed.splitlines()[-1])]
    assert sum(steps) == 60
    assert steps[-1] < min(steps[:-1])


def test_several_clients_play_at_once(folder: Path) -> None:
    printed = run("several_clients.py", folder=folder)
    assert re.findall(r"^client (\d) played \d+ steps$", printed, re.MULTILINE) == ["0", "1", "2"]


def test_a_crash_is_survived(folder: Path) -> None:
    crash, after = run("survive_a_crash.py", folder=folder).splitlines()
    assert crash.startswith("crashed: ")
    assert "SIGABRT" in crash
    assert after == "after the reset: step 1, in another process: True"


def test_a_token_and_tls_let_in_and_refuse(folder: Path) -> None:
    certificates = make_certificates(folder)
    files = [certificates.path(name) for name in ("server.pem", "server.key", "ca.pem")]
    let_in, refused = run("token_and_tls.py", *files, folder=folder).splitlines()
    assert let_in == "let in, the observation has shape (4,)"
    assert refused.startswith("refused: ")
    assert "token" in refused


def test_a_cut_connection_is_resumed(folder: Path) -> None:
    printed = run("resume_after_a_cut.py", folder=folder)
    found = re.fullmatch(r"(\d+) connections, same episode: True\n", printed)
    assert found, printed
    assert int(found[1]) >= 5


def test_a_trace_holds_client_and_server(folder: Path) -> None:
    printed = run("trace_with_opentelemetry.py", folder=folder)
    assert "rlmesh.reset (server), in rlmesh.reset: UNSET" in printed
    assert "rlmesh.episode (internal), in rlmesh.session: UNSET" in printed
    assert "ended after 8 steps" in printed


def test_a_typed_client_drives(folder: Path) -> None:
    (folder / "cartpole.py").write_text((EXAMPLES / "cartpole.py").read_text())
    with serving(gymnasium.make("CartPole-v1")) as server:
        printed = run("typed_client.py", server.address, folder=folder)
    found = re.fullmatch(r"the pole stood for (\d+) steps\n", printed)
    assert found, printed
    assert int(found[1]) > 100


def test_a_policy_drives_an_environment_behind_two_addresses(folder: Path) -> None:
    asked, total = run("serve_a_policy.py", folder=folder).splitlines()
    found = re.fullmatch(r"(\d+) predictions by Balance-v1 over (shm|grpc)", asked)
    assert found, asked
    assert total == f"return {found[1]}"
    assert int(found[1]) > 50


def test_a_recurrent_policy_keeps_its_clients_apart(folder: Path) -> None:
    printed = run("recurrent_policy.py", folder=folder).splitlines()
    assert [line.partition(",")[0] for line in printed] == ["asked for -1", "asked for +1"]
    reached = [float(line.rpartition(" ")[2]) for line in printed]
    assert reached == pytest.approx([-1, 1], abs=0.05)


def test_the_types_are_what_typegen_writes() -> None:
    written = render_module(read_contract(gymnasium.make("CartPole-v1")))
    assert (EXAMPLES / "cartpole.py").read_text() == written, (
        "run `rlmesh serve CartPole-v1` and `rlmesh typegen ADDRESS -o examples/cartpole.py`"
    )


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is optional and large"
)
@pytest.mark.timeout(300)
def test_a_torch_policy_learns(folder: Path) -> None:
    printed = run("torch_policy.py", folder=folder)
    found = re.fullmatch(r"steps an episode: (\d+) at first, (\d+) at last\n", printed)
    assert found, printed
    assert int(found[2]) > 2 * int(found[1])


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is optional and large")
def test_a_loop_that_jax_compiles_steps_a_remote_environment(folder: Path) -> None:
    printed = run("jax_loop.py", folder=folder)
    found = re.fullmatch(r"200 steps of 4, (\d+) poles fell\n", printed)
    assert found, printed
    # Nobody who pushes at random keeps a pole up for more than some twenty steps.
    assert int(found[1]) < 12


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_short_listed_and_run(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) <= 80
    assert f"[{name}]({name})" in (EXAMPLES / "README.md").read_text()
    assert f'"{name}"' in Path(__file__).read_text(), "no test runs it"


@pytest.mark.parametrize("name", WITH_TRAINERS)
def test_an_example_with_a_trainer_is_short_listed_and_run(name: str) -> None:
    assert len((EXAMPLES / f"trainers/{name}.py").read_text().splitlines()) <= 80
    listed = f"[trainers/{name}.py](trainers/{name}.py)"
    assert listed in (EXAMPLES / "README.md").read_text()
    tests = [test.read_text() for test in ROOT.glob("tests/trainers*/test_*.py")]
    assert any(f'"{name}' in test or f"/{name}.py" in test for test in tests), "no test runs it"


def test_a_model_is_adapted_to_an_environment(folder: Path) -> None:
    printed = run("adapt_a_model.py", folder=folder).splitlines()
    assert printed[0] == "observation: env -> model"
    assert printed[-1] == "the gripper got +1, which closes it"


def test_chunks_are_executed_one_action_at_a_time(folder: Path) -> None:
    counts, hidden = run("execute_chunks.py", folder=folder).splitlines()
    assert counts == "40 actions of 11 chunks, 39 dropped"
    assert re.fullmatch(r"\d+% of the inference was hidden", hidden)
