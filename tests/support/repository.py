"""Where things stand in the repository, and what pyproject.toml and the Makefile say."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


def project() -> dict[str, Any]:
    """The `[project]` table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def dependencies() -> list[Requirement]:
    """What the installed package needs at run time."""
    return [Requirement(text) for text in project()["dependencies"]]


def make_targets() -> dict[str, list[str]]:
    """Each target of the Makefile that `make help` lists, with the targets that it needs."""
    found = re.findall(r"^([a-z-]+):(.*?) ##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {name: re.findall(r"(?<![\w,(])[a-z][a-z-]+(?![\w,)])", needs) for name, needs in found}
