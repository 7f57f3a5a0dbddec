from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from codegen.__main__ import main
from codegen.generate import LEGACY, generate
from support.repository import ROOT


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_what_is_generated_is_what_the_sources_give() -> None:
    result = run("--check")
    assert result.output == ""
    assert result.exit_code == 0


def test_generating_twice_gives_the_same_text(repository: Path) -> None:
    assert generate(repository) == generate(repository)


def test_checking_names_every_stale_missing_and_surplus_file(repository: Path) -> None:
    generated = repository / "generated"
    with (generated / "docs" / "spaces.md").open("a") as page:
        page.write("edited by hand\n")
    (generated / "rlmesh_api" / "stability.py").unlink()
    (generated / "rlmesh_api" / "own.py").write_text("")
    result = run("--check", f"--root={repository}")
    assert result.exit_code == 1
    assert "stale: generated/docs/spaces.md\n" in result.output
    assert "missing: generated/rlmesh_api/stability.py\n" in result.output
    assert "surplus: generated/rlmesh_api/own.py\n" in result.output
    assert "-edited by hand\n" in result.output
    assert LEGACY not in result.output
    assert (generated / "rlmesh_api" / "own.py").exists()


def test_writing_repairs_what_checking_found(repository: Path) -> None:
    (repository / "generated" / "docs" / "spaces.md").write_text("")
    (repository / "generated" / "own.md").write_text("")
    result = run(f"--root={repository}")
    assert result.exit_code == 0
    assert "wrote: generated/docs/spaces.md\n" in result.output
    assert "removed: generated/own.md\n" in result.output
    assert run("--check", f"--root={repository}").exit_code == 0


def test_a_new_field_makes_the_schema_of_the_server_for_old_interpreters_stale(
    repository: Path,
) -> None:
    proto = repository / "schema" / "rlmesh_api" / "v1" / "session.proto"
    field = "message RenderCall {\n  // How large.\n  uint32 size = 1;\n}"
    proto.write_text(proto.read_text().replace("message RenderCall {}", field))
    result = run("--check", f"--root={repository}")
    assert result.exit_code == 1
    assert f"stale: {LEGACY}/schema.py\n" in result.output


def test_a_changed_comment_makes_the_stubs_the_classes_and_the_pages_stale(
    repository: Path,
) -> None:
    proto = repository / "schema" / "rlmesh_api" / "v1" / "space.proto"
    proto.write_text(proto.read_text().replace("The element type", "The type of an element"))
    result = run("--check", f"--root={repository}")
    stale = {line for line in result.output.splitlines() if line.startswith("stale: ")}
    assert stale == {
        "stale: generated/docs/contract.md",
        "stale: generated/docs/protocol.md",
        "stale: generated/rlmesh_api/contract.py",
        "stale: generated/rlmesh_api/contract.schema.json",
        "stale: generated/rlmesh_api/model_contract.schema.json",
        "stale: generated/rlmesh_api/v1/space_pb2.pyi",
    }


def test_sources_that_disagree_are_refused_and_nothing_is_written(repository: Path) -> None:
    path = repository / "api_metadata.json"
    data = json.loads(path.read_text())
    data["spaces"] = data["spaces"][1:]
    path.write_text(json.dumps(data))
    before = (repository / "generated" / "docs" / "spaces.md").read_text()
    result = run(f"--root={repository}")
    assert result.exit_code == 1
    assert result.stderr == (
        "rlmesh_api/v1/space.proto: the arm Space.box has no row in api_metadata.json; "
        "add one to its spaces\n"
    )
    assert (repository / "generated" / "docs" / "spaces.md").read_text() == before


def test_a_damaged_schema_is_one_line(repository: Path) -> None:
    proto = repository / "schema" / "rlmesh_api" / "v1" / "space.proto"
    proto.write_text(proto.read_text().replace("message BoxSpace {", "message BoxSpace {{"))
    result = run(f"--root={repository}")
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert re.match(r"protoc: rlmesh_api/v1/space\.proto:\d+:\d+: ", line)


def test_help_tells_what_the_command_does() -> None:
    assert "Write generated/ from schema/ and api_metadata.json." in run("--help").output


def test_a_wrong_option_is_a_usage_error() -> None:
    assert run("--chekc").exit_code == 2


@pytest.mark.parametrize("name", ["contract.py", "stability.py"])
def test_rendered_modules_have_no_behaviour(name: str) -> None:
    text = (ROOT / "generated" / "rlmesh_api" / name).read_text()
    # What type checkers do not see is the same at every run.
    text = text.replace("\nif not TYPE_CHECKING:\n    dataclass = late_dataclass\n", "\n")
    decisions = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.IfExp)
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, decisions)]
