"""What others who join the project rely on: the workflow, the hooks, and the files about it."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

import rlmesh
from codegen.protoc import SAFE_PATH
from support.repository import ROOT, dependencies, make_targets, project

WORKFLOW = ROOT / ".github/workflows/check.yml"
HOOKS = ROOT / ".pre-commit-config.yaml"
CITATION = ROOT / "CITATION.cff"
REASON = "`make check` installs it"


def yaml(path: Path) -> Any:
    library = pytest.importorskip("ruamel.yaml", reason=REASON)
    return library.YAML(typ="safe").load(path)


def validate(*arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("check_jsonschema", reason=REASON)
    command = [sys.executable, SAFE_PATH, "-m", "check_jsonschema", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("schema", "path"),
    [("vendor.github-workflows", WORKFLOW), ("vendor.citation-file-format", CITATION)],
    ids=["workflow", "citation"],
)
def test_a_file_is_what_its_schema_says(schema: str, path: Path, tmp_path: Path) -> None:
    done = validate("--builtin-schema", schema, str(path))
    assert done.returncode == 0, done.stdout
    # The schema refuses what it does not know.
    damaged = tmp_path / path.name
    damaged.write_text(path.read_text() + "\nnothing-of-that-name: 1\n")
    assert validate("--builtin-schema", schema, str(damaged)).returncode == 1


def test_the_workflow_runs_every_python_on_every_system_with_old_and_new_dependencies() -> None:
    matrix = yaml(WORKFLOW)["jobs"]["test"]["strategy"]["matrix"]
    prefix = "Programming Language :: Python :: 3."
    pythons = [
        line.rpartition(" ")[2] for line in project()["classifiers"] if line.startswith(prefix)
    ]
    assert matrix == {
        # 3.14 becomes a classifier once the workflow has passed on it.
        "python": [*pythons, "3.14"],
        "system": ["ubuntu-latest", "macos-latest"],
        "dependencies": ["lowest", "newest"],
    }


def test_the_workflow_names_only_what_there_is() -> None:
    text = WORKFLOW.read_text()
    matrix = yaml(WORKFLOW)["jobs"]["test"]["strategy"]["matrix"]
    assert set(re.findall(r"\bmatrix\.(\w+)", text)) == set(matrix)
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= set(make_targets())
    scripts = re.findall(r"\.ci/[\w.]+", text)
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)


def test_actions_are_named_with_a_version() -> None:
    steps = [step for job in yaml(WORKFLOW)["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)


def test_the_lowest_versions_are_those_of_the_project() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci/lowest.py")], capture_output=True, text=True, check=True
    )
    held = [Requirement(line) for line in done.stdout.splitlines()]
    assert [(each.name, each.marker) for each in held] == [
        (each.name, each.marker) for each in dependencies()
    ]
    for constraint, requirement in zip(held, dependencies(), strict=True):
        [pinned] = constraint.specifier
        assert pinned.operator == "=="
        assert f">={pinned.version}" in {str(each) for each in requirement.specifier}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_each_python_has_one_lowest_version_of_each_dependency(python: str) -> None:
    always = Marker("python_version > '3'")
    names = [
        each.name
        for each in dependencies()
        if (each.marker or always).evaluate({"python_version": python})
    ]
    assert sorted(names) == sorted({each.name for each in dependencies()})


def test_hooks_call_what_make_check_calls_and_download_nothing() -> None:
    [repository] = yaml(HOOKS)["repos"]
    assert repository["repo"] == "local"
    parts = make_targets()["check"]
    assert "lint" in parts
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        program, what = hook["entry"].split()
        if program == "make":
            assert what in parts
            assert hook["id"] == what
            assert hook["pass_filenames"] is False
        else:
            assert (program, (ROOT / what).is_file()) == ("python3", True)


def test_pre_commit_takes_the_hooks() -> None:
    pytest.importorskip("pre_commit", reason=REASON)
    command = [sys.executable, SAFE_PATH, "-m", "pre_commit", "validate-config", str(HOOKS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def complaint() -> Callable[[str], str | None]:
    found: Callable[[str], str | None] = runpy.run_path(str(ROOT / ".ci/commit_message.py"))[
        "complaint"
    ]
    return found


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ("", "is empty"),
        ("# a comment\n", "is empty"),
        ("x" * 72 + "\n\nWhy.\n", "has 72 characters, and 71 are allowed"),
        ("Say what\nand why at once\n", "second line is not blank"),
        ("Say what\n", "There is no body"),
        ("Say what\n\n# Changes to be committed\n", "There is no body"),
    ],
)
def test_a_commit_message_is_refused(
    complaint: Callable[[str], str | None], message: str, wrong: str
) -> None:
    assert wrong in str(complaint(message))


@pytest.mark.parametrize(
    "message", ["x" * 71 + "\n\nWhy.\n", "Say what\n\nWhy.\n# a comment\n", "Merge branch 'a'\n"]
)
def test_a_commit_message_is_taken(complaint: Callable[[str], str | None], message: str) -> None:
    assert complaint(message) is None


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml(CITATION)
    assert citation["version"] == rlmesh.__version__
    assert citation["license"] == project()["license"]
    assert " ".join(citation["abstract"].split()) == project()["description"]
    assert citation["keywords"] == project()["keywords"]


@pytest.mark.parametrize("page", ["README.md", "RELEASING.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_a_page_names_only_targets_that_make_has(page: str) -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE))
    assert named <= set(make_targets())


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_first_page_says_which_rlmesh_this_is_not(page: str) -> None:
    text = " ".join((ROOT / page).read_text().split())
    assert "The package named `rlmesh` on the Python Package Index is another project" in text
