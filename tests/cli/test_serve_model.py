"""`rlmesh serve-model`, and the commands that ask a worker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import rlmesh
from rlmesh._cli.main import main
from rlmesh.typegen import render_module
from support.comparing import assert_same
from support.models import OfChunks, OfOne, act, observation, working

SEEN = observation(1)
POLICIES = """
import rlmesh
from gymnasium.spaces import Box

class Gain:
    observation_space = Box(-1, 1, (3,))
    action_space = Box(-1, 1, (3,))

    def __init__(self, gain, name="none", broken=False):
        self.gain, self.id, self.broken = gain, name, broken

    def warmup(self):
        if self.broken:
            raise ValueError("no weights")

    def predict(self, observation):
        return self.gain * observation

def several():
    return {"half": Gain(0.5), "whole": Gain(1.0)}
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    (tmp_path / "policies.py").write_text(POLICIES)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


class Started:
    """`rlmesh serve-model` in its own process, and where it serves."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rlmesh", "serve-model", *arguments, "--ready-fd", str(writer)],
            cwd=folder,
            pass_fds=(writer,),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writer)
        with open(reader) as ready:
            self.address = ready.read().strip()

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        said, errors = self.process.communicate(timeout=60)
        return self.process.returncode, said + errors


def test_options_that_it_does_not_know_are_keyword_arguments_of_the_model(policies: Path) -> None:
    started = Started(
        policies, "policies:Gain", "--gain", "0.5", "--name=Half-v1", "--sessions", "2"
    )
    with rlmesh.RemoteModel(started.address) as model:
        assert model.model_contract.id == "Half-v1"
        assert_same(model.predict(np.ones(3, np.float32)), np.full(3, 0.5, np.float32))
    code, said = started.end()
    assert code == 0
    assert f"Half-v1 is served at {started.address}" in said


def test_a_callable_may_make_several_models(policies: Path) -> None:
    started = Started(policies, "policies:several")
    with rlmesh.RemoteModel(started.address, model="half") as model:
        assert_same(model.predict(np.ones(3, np.float32)), np.full(3, 0.5, np.float32))
    assert started.end()[0] == 0


def test_clients_of_openpi_are_answered_at_their_own_address(policies: Path) -> None:
    pytest.importorskip("websockets", reason="openpi needs websockets, which is optional")
    from rlmesh.openpi import Policy

    started = Started(policies, "policies:Gain", "--gain", "0.5", "--openpi", "127.0.0.1:0")
    assert started.process.stdout is not None
    first = started.process.stdout.readline()
    where = re.search(r"is served at (\S+) and, for openpi, at (\S+); Ctrl-C ends it", first)
    assert where, first
    assert where[1] == started.address
    with Policy(where[2]) as policy:
        assert_same(policy.predict(np.ones(3, np.float32)), np.full(3, 0.5, np.float32))
    assert started.end()[0] == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["policies:Gain"], "missing 1 required positional argument"),
        (
            ["policies:Gain", "--gain", "1", "--broken", "true"],
            "warming up failed: ValueError: no w",
        ),
        (["policies:Nothing"], "the module policies has no Nothing; a model is named as"),
        (["policies"], "policies names no model; give it as module:callable"),
        (["nowhere:Gain"], "importing nowhere failed"),
    ],
)
def test_a_model_that_cannot_be_served_is_one_line_and_exit_code_1(
    policies: Path, arguments: list[str], text: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "rlmesh", "serve-model", *arguments],
        cwd=policies,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert text in last


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["m:f", "stray"], "is no option"),
        (["m:f", "--gain"], "--gain needs a value"),
        (["m:f", "--sessions", "0"], "--sessions"),
        (["m:f", "--address", "0.0.0.0:0"], "may ask the model"),
        (["m:f", "--openpi", "0.0.0.0:0"], "may ask the model"),
        (["m:f", "--openpi", "unix:///tmp/x.sock"], "is no TCP address"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], text: str) -> None:
    result = invoke("serve-model", *arguments)
    assert result.exit_code == 2
    assert text in " ".join(result.output.split())


@pytest.fixture
def worker() -> Generator[rlmesh.ModelWorker]:
    with working({"one": OfOne(), "chunks": OfChunks()}) as started:
        yield started


def test_the_contract_of_a_model_is_shown(worker: rlmesh.ModelWorker) -> None:
    shown = invoke("contract", worker.address, "--model", "chunks")
    assert shown.exit_code == 0
    for part in ("chunks", "4 actions", "keeps state", "$.image", "(4, 4, 3)"):
        assert part in shown.stdout
    written = invoke("contract", worker.address, "--model", "chunks", "--json").stdout
    contract = rlmesh.ModelContract.from_json(written)
    assert contract == worker.model_contracts["chunks"]
    unnamed = invoke("contract", worker.address)
    assert unnamed.exit_code == 1
    assert "say which one with model=" in unnamed.stderr


def test_the_status_shows_each_model(worker: rlmesh.ModelWorker) -> None:
    with rlmesh.RemoteModel(worker.address, model="one") as model:
        assert_same(model.predict(SEEN), act(SEEN["state"]))
        shown = invoke("status", worker.address).stdout
        told: Any = json.loads(invoke("status", worker.address, "--json").stdout)
    for part in ("model one", "model chunks", "ready, version 1, 0 requests wait"):
        assert part in shown
    assert [each["name"] for each in told["models"]] == ["one", "chunks"]
    assert told["capacity"] == 64
    assert invoke("wait", worker.address).exit_code == 0


def test_two_contracts_of_models_are_compared(worker: rlmesh.ModelWorker, tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    contract = worker.model_contracts["chunks"]
    one.write_text(contract.to_json())
    other.write_text(json.dumps({**contract.to_dict(), "horizon": 8}))
    assert invoke("contract", "diff", str(one), str(one)).exit_code == 0
    breaking = invoke("contract", "diff", str(one), str(other))
    assert breaking.exit_code == 1
    assert "horizon" in breaking.stdout
    served = invoke("contract", "diff", str(one), worker.address, "--model", "chunks")
    assert served.exit_code == 0


def test_typegen_writes_a_typed_client_of_a_model(worker: rlmesh.ModelWorker) -> None:
    result = invoke("typegen", worker.address, "--model", "one", "-o", "-")
    assert result.exit_code == 0
    assert result.stdout == render_module(worker.model_contracts["one"])
    names: dict[str, Any] = {}
    exec(compile(result.stdout, "typed.py", "exec"), names)  # noqa: S102 - what was generated
    with names["OneModel"](worker.address, model="one") as model:
        assert_same(model.predict(SEEN), act(SEEN["state"]))
    with pytest.raises(rlmesh.errors.ContractMismatchError):
        names["OneModel"](worker.address, model="chunks")
