"""The command line as stubs: a command is a function, its options are keyword parameters.

So what breaks a script that calls the command is found as what breaks a program that calls a
function. Commands are asked and not read: what click makes of decorators is known to click alone.
"""

from __future__ import annotations

import functools
import hashlib
import json
import keyword
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from codegen.errors import SourceError
from codegen.metadata import CommandRow, Metadata
from codegen.protoc import SAFE_PATH
from codegen.runtime._stability import Stability
from codegen.stability.breaks import Break
from codegen.stability.surface import HEAD

MODULE = "command_line"
"""What the stub of all commands is called."""

_METADATA = "api_metadata.json"
_TYPES = {"Int": "int", "IntRange": "int", "Float": "float", "FloatRange": "float", "Bool": "bool"}
_BOUNDS = (("min", ">"), ("max", "<"))

# Runs where the packages of a copy come first; prints what click says of each command.
_ASK = """
import importlib, json, sys
root, *paths = sys.argv[1:]
sys.path[:0] = [root, root + "/generated"]
import click
for path in paths:
    module, _, name = path.rpartition(".")
    command = getattr(importlib.import_module(module), name)
    print(json.dumps(command.to_info_dict(click.Context(command)), default=str))
"""


class Commands:
    """The commands as they are.

    Attributes:
        stub: The stub of those that users see; empty where none is listed.
        problems: Where the list and the commands differ, one line each.
        missing: The commands that are listed and not there.

    Raises:
        SourceError: The commands cannot be asked.
    """

    def __init__(self, root: Path, metadata: Metadata) -> None:
        programs = [row for row in metadata.commands if row.object is not None]
        found = dict(_asked(root, programs)) if programs else {}
        rows = {row.name: row for row in metadata.commands}
        self.missing = [name for name in rows if name not in found]
        self.problems = [
            f"the command `{name}` is not listed; list it under the commands of {_METADATA}"
            for name in found
            if name not in rows
        ]
        self.problems += [
            f"the command `{name}` is listed in {_METADATA}, and there is no such command; bring "
            "it back, or take it off the list"
            for name in self.missing
        ]
        seen = [row for row in metadata.commands if row.stability is not Stability.INTERNAL]
        parts = [_function(row, found[row.name]) for row in seen if row.name in found]
        self.stub = "\n".join([f"{HEAD}__stability__ = Stable\n", *parts]) if parts else ""


def spelled(broken: Break, metadata: Metadata) -> Break:
    """A break of a command as users know it: the command and its option."""
    names = {f"{MODULE}.{_identifier(row.name)}": row.name for row in metadata.commands}
    what = re.sub(r"`(\w+)`", lambda found: f"`{_spelling(found[1])}`", broken.what)
    what = what.replace("the parameter", "the option").replace("new parameter", "new option")
    return replace(broken, name=names.get(broken.name, broken.name), what=what)


def _spelling(identifier: str) -> str:
    option = identifier.rstrip("_").replace("_", "-")
    return f"-{option}" if len(option) == 1 else f"--{option}"


def _asked(root: Path, programs: list[CommandRow]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    paths = tuple(row.object for row in programs if row.object is not None)
    for row, line in zip(programs, _answers(root.resolve(), paths, _digest(root)), strict=True):
        yield from _walked(row.name, json.loads(line))


# As long as the packages are what they were, the answers are too.
@functools.lru_cache(maxsize=2)
def _answers(root: Path, paths: tuple[str, ...], digest: str) -> tuple[str, ...]:
    """What click says of each command, as JSON."""
    done = subprocess.run(
        [sys.executable, SAFE_PATH, "-c", _ASK, str(root), *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SourceError([f"{', '.join(paths)}: expected commands of click, got: {last}"])
    return tuple(done.stdout.splitlines())


def _digest(root: Path) -> str:
    found = hashlib.sha256()
    for folder in ("rlmesh", "generated/rlmesh_api"):
        for path in sorted((root / folder).rglob("*.py")):
            found.update(str(path).encode() + path.read_bytes())
    return found.hexdigest()


def _walked(name: str, command: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield name, command
    for own, each in command.get("commands", {}).items():
        yield from _walked(f"{name} {own}", each)


def _function(row: CommandRow, command: Mapping[str, Any]) -> str:
    arguments = [each for each in command["params"] if each["param_type_name"] == "argument"]
    options = [
        each
        for each in command["params"]
        if each["param_type_name"] == "option" and "--help" not in each["opts"]
    ]
    parameters = [_parameter(each["name"], each) for each in arguments]
    parameters += ["/"] if arguments else []
    spellings = {
        spelling: each for each in options for spelling in (*each["opts"], *each["secondary_opts"])
    }
    parameters += ["*"] if spellings else []
    parameters += [_parameter(spelling, spellings[spelling]) for spelling in sorted(spellings)]
    return f"@{row.stability}\ndef {_identifier(row.name)}({', '.join(parameters)}) -> int: ...\n"


def _parameter(spelling: str, parameter: Mapping[str, Any]) -> str:
    type_ = _type(parameter["type"])
    if parameter.get("multiple") or parameter["nargs"] != 1:
        type_ = f"{type_} | list[{type_}]"
    text = f"{_identifier(spelling)}: {type_}"
    default = parameter.get("default")
    if default is None or str(default).startswith("Sentinel."):
        # How click says that there is none differs between its releases.
        default = False if type_ == "bool" else None
    return text if parameter["required"] else f"{text} = {default!r}"


def _type(kind: Mapping[str, Any]) -> str:
    if choices := kind.get("choices"):
        return f"Literal{list(choices)!r}"
    bounds = [
        f"x {sign}{'' if kind[f'{end}_open'] else '='} {kind[end]}"
        for end, sign in _BOUNDS
        # What is clamped takes any number.
        if kind.get(end) is not None and not kind["clamp"]
    ]
    if bounds:
        return f"{kind['param_type']}[{', '.join(bounds)}]"
    return _TYPES.get(kind["param_type"], "str")


def _identifier(text: str) -> str:
    name = re.sub(r"\W+", "_", text.strip("-"))
    return f"{name}_" if keyword.iskeyword(name) else name
