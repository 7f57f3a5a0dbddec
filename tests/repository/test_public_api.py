"""api_metadata.json lists exactly what the package exports.

A module that it does not list is internal, and may change at any time.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from support.repository import ROOT

MODULES: dict[str, dict[str, Any]] = {
    module["name"]: module
    for module in json.loads((ROOT / "api_metadata.json").read_text())["modules"]
}
# Modules that import a library which is not always installed.
NEEDS = {
    "rlmesh.jax": "jax",
    "rlmesh.openpi": "websockets",
    "rlmesh.ray": "ray",
    "rlmesh.sb3": "stable_baselines3",
    "rlmesh.torch": "torch",
}


def declared_exports(path: Path) -> set[str] | None:
    """The names in a file's `__all__`; None where it has none."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def kind_of(value: object) -> str:
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    # Whatever a decorator makes of a function is one for its users.
    return "function" if callable(value) else type(value).__name__


def files() -> dict[str, Path]:
    """Every module of the package, with its file."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / "rlmesh").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def listed_exports(module: str) -> set[str]:
    return {export["name"] for export in MODULES[module]["exports"]}


def listed_modules_in(module: str) -> set[str]:
    prefix = f"{module}."
    return {name.removeprefix(prefix) for name in MODULES if name.startswith(prefix)}


@pytest.mark.parametrize("module", MODULES)
def test_a_listed_module_exports_what_is_listed_and_nothing_else(module: str) -> None:
    path = files().get(module)
    assert path, f"{module} is listed in api_metadata.json, and there is no such module"
    exports = declared_exports(path)
    assert exports is not None, f"{module} is listed in api_metadata.json, so it needs an __all__"
    listed = listed_exports(module)
    assert not exports - listed - listed_modules_in(module), "exported, but not listed"
    assert not listed - exports, "listed, but not exported"


@pytest.mark.parametrize("module", MODULES)
def test_a_listed_module_defines_nothing_public_beside_its_exports(module: str) -> None:
    definitions = (ast.ClassDef, ast.FunctionDef)
    defined = {
        node.name
        for node in ast.parse(files()[module].read_text()).body
        if isinstance(node, definitions) and not node.name.startswith("_")
    }
    assert not defined - listed_exports(module), "begin the names with an underscore, or list them"


@pytest.mark.parametrize("name", MODULES)
def test_every_export_is_what_it_is_listed_as(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    module = importlib.import_module(name)
    for export in MODULES[name]["exports"]:
        value = getattr(module, export["name"])
        if "alias_of" in export:
            home, _, original = export["alias_of"].rpartition(".")
            assert value is getattr(importlib.import_module(home), original)
        else:
            expected = {"constant": "str"}.get(export["kind"], export["kind"])
            assert kind_of(value) == expected


def test_a_name_that_the_package_does_not_export_is_refused() -> None:
    rlmesh = importlib.import_module("rlmesh")
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_that_name'"):
        _ = rlmesh.nothing_of_that_name
