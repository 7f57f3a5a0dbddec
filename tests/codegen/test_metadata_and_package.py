"""What api_metadata.json lists is what the package says that it exports."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from codegen.metadata import Metadata, ModuleRow, load_metadata
from rlmesh.codec.checks.policy import Policy
from rlmesh.codec.slab.violations import DeviationKind, ViolationKind
from support.repository import ROOT

METADATA: Metadata = load_metadata(
    ROOT / "api_metadata.json", ROOT / "schema" / "api_metadata.schema.json"
)
MODULES = {module.name for module in METADATA.modules}


def file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def exported(module: str) -> set[str]:
    """The names in a module's `__all__`, without those of modules that are listed themselves."""
    for node in ast.parse(file_of(module).read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return {name for name in names if f"{module}.{name}" not in MODULES}
    raise AssertionError(f"{module} has no __all__")


@pytest.mark.parametrize("module", METADATA.modules, ids=lambda module: module.name)
def test_a_listed_module_exports_what_is_listed(module: ModuleRow) -> None:
    assert exported(module.name) == {row.name for row in module.exports}


def test_every_error_is_listed_as_one() -> None:
    [errors] = [module for module in METADATA.modules if module.name == "rlmesh.errors"]
    assert {row.kind for row in errors.exports} == {"exception"}


def test_the_findings_are_those_that_the_checks_tell() -> None:
    decided = {row.kind: row.decided_by for row in METADATA.findings}
    assert {kind for kind, by in decided.items() if by == "policy"} == set(get_args(DeviationKind))
    by_violation = {
        kind for part in get_args(ViolationKind) for kind in (get_args(part) or (part,))
    }
    assert decided.keys() == by_violation


def test_the_policies_are_those_that_a_server_takes() -> None:
    assert [row.word for row in METADATA.policies] == list(Policy)
