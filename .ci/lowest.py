"""Prints pip constraints with the lowest version of each dependency that pyproject.toml allows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_REQUIREMENT = re.compile(r"(?P<name>[\w-]+)>=(?P<lowest>[\w.]+)[^;]*(?P<marker>;.*)?")


def constraints() -> list[str]:
    """One line for each dependency, `numpy==1.26; python_version < "3.13"`.

    Raises:
        ValueError: If a dependency has no lower bound.
    """
    lines: list[str] = []
    for text in tomllib.loads(PROJECT.read_text())["project"]["dependencies"]:
        match = _REQUIREMENT.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} in {PROJECT.name} has no lower bound: write `name>=version`"
            )
        lines.append(f"{match['name']}=={match['lowest']}{match['marker'] or ''}")
    return lines


if __name__ == "__main__":
    sys.stdout.write("\n".join([*constraints(), ""]))
