"""Where things stand in the repository, and what pyproject.toml and the Makefile say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import tomli
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


def project() -> dict[str, Any]:
    """The `[project]` table of pyproject.toml."""
    table: dict[str, Any] = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def dependencies() -> list[Requirement]:
    """What the installed package needs at run time."""
    return [Requirement(text) for text in project()["dependencies"]]


def make_targets() -> dict[str, list[str]]:
    """Each target of the Makefile that `make help` lists, with the targets that it needs."""
    found = re.findall(r"^([a-z-]+):(.*?) ##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {name: re.findall(r"(?<![\w,(])[a-z][a-z-]+(?![\w,)])", needs) for name, needs in found}
