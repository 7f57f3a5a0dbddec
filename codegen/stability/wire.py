"""What breaks programs on the wire when the schema changes: buf's findings."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codegen.errors import SourceError
from codegen.runtime._stability import Stability
from codegen.stability.breaks import Break

_SCHEMA = "schema"
BASELINE = "baseline/schema"
_FOUND = 100

_OWNER = re.compile(r'on (?:message|enum|service|oneof|file) "([^"]+)"')
_NUMBER = re.compile(r'(?:[Ff]ield|enum value|RPC|[Mm]essage|[Ee]num|[Ss]ervice) "([^"]+)"')
_NAMES = (
    re.compile(r'changed name from "([^"]+)"'),
    re.compile(r'with name "([^"]+)"'),
    re.compile(r'without reserving the name "([^"]+)"'),
    re.compile(r'RPC "([^"]+)"'),
)


def wire_breaks(root: Path) -> list[Break]:
    """What the schema of a repository breaks of the one that was frozen.

    A schema that cannot be read breaks nothing here; generation reports it.

    Raises:
        SourceError: The frozen schema, or buf's configuration, is damaged.
    """
    done = subprocess.run(
        [
            Path(sysconfig.get_path("scripts")) / "buf",
            *("breaking", _SCHEMA, "--against", BASELINE, "--error-format", "json"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, _FOUND}:
        message = done.stderr.strip().partition("\n")[0].removeprefix("Failure: ")
        raise SourceError([f"buf: {message}; expected {BASELINE}/ as `make baseline` writes it"])
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    damaged = [each for each in found if each["type"] == "COMPILE"]
    if own := [each for each in damaged if each["path"].startswith(BASELINE)]:
        # Names that nothing declares follow from what could not be read.
        cause = next((each for each in own if "cannot find" not in each["message"]), own[0])
        place = f"{cause['path']}:{cause['start_line']}"
        got = cause["message"]
        raise SourceError([f"{place}: expected what `make baseline` wrote, got: {got}"])
    return [] if damaged else _told_once(found)


def _told_once(found: Iterable[Mapping[str, Any]]) -> list[Break]:
    """One break for each thing, whatever the number of rules that it offends."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in found:
        owner, thing = _OWNER.search(each["message"]), _NUMBER.search(each["message"])
        key = (owner[1] if owner else each["path"], thing[1] if thing else "")
        groups.setdefault(key, []).append(each)
    return [_break(owner, group) for (owner, _), group in groups.items()]


def _break(owner: str, group: list[Mapping[str, Any]]) -> Break:
    messages = sorted((each["message"] for each in group), key=len)
    names = [found[1] for name in _NAMES for text in messages if (found := name.search(text))]
    thing = names[0] if names else None
    if thing is None and (found := _NUMBER.search(messages[0])):
        thing = found[1]
    if owner.endswith(".proto"):
        name = thing or owner
    else:
        name = owner if thing is None else f"{owner}.{thing}"
    place = f"{group[0]['path']}:{group[0]['start_line']}"
    what = messages[0].partition(". See ")[0].rstrip(".")
    what = what if what.startswith("RPC") else f"{what[0].lower()}{what[1:]}"
    advice = "restore it, and give what is new a number and a name of its own"
    return Break(name, Stability.STABLE, f"{what} ({place}); {advice}")
