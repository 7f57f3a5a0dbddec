"""`rlmesh typegen`, on files and on served environments."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from click.testing import CliRunner, Result

from rlmesh._cli.main import main
from rlmesh.contract import read_contract
from rlmesh.typegen import render_module
from support.serving import serving

CONTRACT = read_contract(gymnasium.make("CartPole-v1"))


def typegen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["typegen", *map(str, arguments)])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "contract.json"
    file.write_text(CONTRACT.to_json())
    return file


def test_a_contract_file_gives_a_module(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "cartpole.py"
    result = typegen(source, "-o", output)
    assert (result.exit_code, result.output) == (0, "")
    assert output.read_text() == render_module(CONTRACT)


def test_a_served_environment_gives_the_same(tmp_path: Path) -> None:
    output = tmp_path / "cartpole.py"
    with serving(gymnasium.make("CartPole-v1")) as server:
        assert typegen(server.address, "-o", output).exit_code == 0
    assert output.read_text() == render_module(CONTRACT)


def test_a_module_may_go_to_standard_output(source: Path) -> None:
    assert typegen(source, "-o", "-", "--class-name", "Pole").stdout == render_module(
        CONTRACT, "Pole"
    )


def test_a_file_is_overwritten_by_force_only(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.py"
    output.write_text("mine")
    result = typegen(source, "-o", output)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {output} exists; overwrite it with --force, or name another\n"
    )
    assert output.read_text() == "mine"
    assert typegen(source, "-o", output, "--force").exit_code == 0
    assert output.read_text() == render_module(CONTRACT)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["contract.json", "-o", "none/x.py"], 1, "none/x.py cannot be written: No such file"),
        (["contract.json", "-o", "."], 1, "Error: . exists"),
        (["contract.json", "-o", ".", "--force"], 1, "Error: . cannot be written: Is a directory"),
        (["none.json", "-o", "x.py"], 1, "none.json cannot be read: No such file or directory"),
        (
            ["unix:///nowhere/e.sock", "-o", "x.py"],
            1,
            "no server answers at unix:///nowhere/e.sock",
        ),
        (["contract.json", "-o", "x.py", "--class-name=a b"], 1, "cannot be named 'a b'"),
        (["contract.json"], 2, "Missing option '--output'"),
        (["nonsense", "-o", "x.py"], 2, "'nonsense' is no address"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(source.parent)
    result = typegen(*arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert not Path("x.py").exists()
