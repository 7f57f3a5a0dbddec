"""What `import rlmesh` imports: nothing that it does not need, and nothing that is optional."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What the package uses somewhere, or could: each takes long to import.
HEAVY = ("torch", "jax", "ray", "click", "rich", "gymnasium", "numpy")


def imported_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    program = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    modules: list[str] = json.loads(told.stdout)
    return set(modules)


def test_importing_the_package_imports_grpc_and_nothing_else_that_is_heavy() -> None:
    modules = imported_by("import rlmesh")
    assert "grpc" in modules
    assert not modules.intersection(HEAVY)


@pytest.mark.parametrize(
    ("used", "not_needed"),
    [
        ("rlmesh.EnvServer", {"torch", "jax", "ray", "click", "rich", "gymnasium"}),
        ("rlmesh.spaces", {"torch", "jax", "ray", "click", "rich", "gymnasium"}),
        ("rlmesh.RemoteEnv", {"torch", "jax", "ray", "click", "rich"}),
        ("rlmesh.RemoteVectorEnv", {"torch", "jax", "ray", "click", "rich"}),
    ],
)
def test_what_is_used_imports_no_optional_library(used: str, not_needed: set[str]) -> None:
    assert not imported_by(f"import rlmesh; {used}").intersection(not_needed)


def test_every_export_can_be_had_from_a_fresh_import() -> None:
    imported_by("import rlmesh; [getattr(rlmesh, name) for name in rlmesh.__all__]")
    imported_by("from rlmesh import *")
