"""`rlmesh contract diff`, on files and on served environments."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from click.testing import CliRunner, Result

from rlmesh._cli.main import main
from rlmesh.contract import EnvContract, compare_contracts, read_contract
from rlmesh.spaces import Discrete
from support.processes import run
from support.serving import serving

OLD = read_contract(gymnasium.make("CartPole-v1"))
COMPATIBLE = dataclasses.replace(OLD, action_space=Discrete(3), metadata={})
BREAKING = dataclasses.replace(OLD, num_envs=2, metadata={"render_fps": "\x1b[31m"})


def diff(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["contract", "diff", *map(str, arguments)])


def written(folder: Path, contract: EnvContract, name: str) -> Path:
    file = folder / name
    file.write_text(contract.to_json())
    return file


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return written(tmp_path, OLD, "old.json")


def test_equal_contracts_exit_0(old: Path) -> None:
    result = diff(old, old)
    assert (result.exit_code, result.stdout) == (0, "The contracts are equal.\n")


def test_compatible_differences_exit_0(old: Path, tmp_path: Path) -> None:
    result = diff(old, written(tmp_path, COMPATIBLE, "new.json"))
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "compatible $.action_space values 0 to 1 -> 0 to 2"
    assert lines[-1] == "3 differences, none of them breaking."


def test_breaking_differences_exit_1(old: Path, tmp_path: Path) -> None:
    result = diff(old, written(tmp_path, BREAKING, "new.json"))
    assert result.exit_code == 1
    assert "breaking    $.num_envs" in result.stdout
    assert result.stdout.endswith("3 differences, 1 of them breaking.\n")


def test_what_a_contract_says_steers_no_terminal(old: Path, tmp_path: Path) -> None:
    result = diff(old, written(tmp_path, BREAKING, "new.json"))
    assert "\x1b" not in result.stdout
    assert "\\x1b[31m" in result.stdout


@pytest.mark.parametrize(("contract", "code"), [(OLD, 0), (COMPATIBLE, 0), (BREAKING, 1)], ids=str)
def test_json_tells_all_of_it(old: Path, tmp_path: Path, contract: EnvContract, code: int) -> None:
    new = written(tmp_path, contract, "new.json")
    result = diff(old, new, "--json")
    told: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == code
    assert told == {
        "breaking": bool(code),
        "old": {"source": str(old), "id": OLD.id, "fingerprint": OLD.fingerprint},
        "new": {"source": str(new), "id": contract.id, "fingerprint": contract.fingerprint},
        "differences": [each.to_dict() for each in compare_contracts(OLD, contract)],
    }


def test_a_served_environment_stands_for_its_contract(old: Path) -> None:
    with serving(gymnasium.make("CartPole-v1")) as server:
        assert diff(old, server.address).exit_code == 0
        assert diff(server.address, old).exit_code == 0


def test_the_gate_of_the_console_script(old: Path, tmp_path: Path) -> None:
    ended = run("contract", "diff", str(old), str(written(tmp_path, BREAKING, "new.json")))
    assert ended.code == 1
    assert ended.err == ""


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("none.json", "Error: the contract file none.json cannot be read: No such file"),
        ("unix:///nowhere/e.sock", "Error: no server answers at unix:///nowhere/e.sock"),
        ("nonsense", "a file whose name ends in .json"),
        ("damaged.json", "Error: damaged.json holds no contract: $.vector: expected a bool, got 3"),
        ("--odd", "No such option"),
    ],
)
def test_what_is_no_contract_exits_2(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damaged.json").write_text(OLD.to_json().replace('"vector": false', '"vector": 3'))
    result = diff(old, second)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_one_contract_is_not_enough(old: Path) -> None:
    assert diff(old).exit_code == 2
