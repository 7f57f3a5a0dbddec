"""Edits of the repository: those that break a promise, and those that break none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

Change: TypeAlias = Callable[[Path], None]
"""Changes a copy of the repository."""

METADATA = "api_metadata.json"
ENV = "rlmesh/client/env.py"
SERVER = "rlmesh/server/env_server.py"
ENDPOINT = "rlmesh/server/endpoint_server.py"
TYPE_ARGUMENTS = "rlmesh/type_arguments.py"
OPTIONS = "rlmesh/server/options.py"
ERRORS = "rlmesh/errors.py"
PACKAGE = "rlmesh/__init__.py"
SPACES = "rlmesh/spaces/__init__.py"
BOX = "rlmesh/spaces/box.py"
CONTAINERS = "rlmesh/spaces/containers.py"
CONVERTERS = "rlmesh/spaces/from_gymnasium.py"
CONTRACT = "generated/rlmesh_api/contract.py"
SERVE = "rlmesh/_cli/serve.py"
SPACE_PROTO = "schema/rlmesh_api/v1/space.proto"
SERVICE_PROTO = "schema/rlmesh_api/v1/env_service.proto"


@dataclass(frozen=True)
class Edit:
    """One edit.

    Attributes:
        title: What it does, in words.
        changes: How.
        lines: How the lines begin that tell of it, in order; none of a harmless one.
        alone: The gate reports less of other edits beside it, or other lines.
    """

    title: str
    changes: tuple[Change, ...]
    lines: tuple[str, ...] = ()
    alone: bool = False


class StaleEditError(AssertionError):
    """The text that an edit changes is not there, or not once."""


def swap(file: str, old: str, new: str, *, every: bool = False) -> Change:
    """Put one text in the place of another, which stands there once unless it is said."""

    def change(root: Path) -> None:
        text = (root / file).read_text()
        found = text.count(old)
        if found != 1 and not (found and every):
            raise StaleEditError(f"{file} holds {old!r} {found} times")
        (root / file).write_text(text.replace(old, new))

    return change


def drop(file: str, text: str) -> Change:
    """Take a text away, which stands there once."""
    return swap(file, text, "")


def append(file: str, text: str) -> Change:
    """Add a text to the end of a file, which need not be there."""

    def change(root: Path) -> None:
        with (root / file).open("a") as opened:
            opened.write(text)

    return change


def delete(file: str) -> Change:
    """Delete a file."""
    return lambda root: (root / file).unlink()


def rename(file: str, new: str) -> Change:
    """Give a file another name."""

    def change(root: Path) -> None:
        (root / file).rename(root / new)

    return change


def edit(title: str, *changes: Change, lines: tuple[str, ...] = (), alone: bool = False) -> Edit:
    return Edit(title, changes, lines, alone)


def alone(edits: list[Edit]) -> list[Edit]:
    """Edits that are made one by one."""
    return [replace(each, alone=True) for each in edits]


def breaks(title: str, line: str, *changes: Change) -> Edit:
    """An edit that one line tells of."""
    return Edit(title, changes, (line,))


def wire(title: str, line: str, change: Change) -> Edit:
    """An edit of the schema: what is generated is stale too."""
    return Edit(title, (change,), (STALE, line))


def metadata(change: Callable[[dict[str, Any]], object]) -> Change:
    """Change api_metadata.json."""

    def apply(root: Path) -> None:
        data = json.loads((root / METADATA).read_text())
        change(data)
        (root / METADATA).write_text(json.dumps(data, indent=2) + "\n")

    return apply


def _exports(data: dict[str, Any], module: str) -> list[dict[str, Any]]:
    [found] = [each["exports"] for each in data["modules"] if each["name"] == module]
    return cast("list[dict[str, Any]]", found)


def _row(data: dict[str, Any], export: str) -> dict[str, Any]:
    module, _, name = export.rpartition(".")
    [found] = [row for row in _exports(data, module) if row["name"] == name]
    return found


def row(export: str, **values: Any) -> Change:
    """Change what is listed of an export."""
    return metadata(lambda data: _row(data, export).update(values))


def listed(export: str, kind: str, stability: str) -> Change:
    """List an export."""
    module, _, name = export.rpartition(".")
    new = {"name": name, "kind": kind, "stability": stability, "summary": "New."}
    return metadata(lambda data: _exports(data, module).append(new))


def unlisted(export: str) -> Change:
    """Take an export off the list."""
    module = export.rpartition(".")[0]
    return metadata(lambda data: _exports(data, module).remove(_row(data, export)))


def space(gymnasium: str, **values: Any) -> Change:
    """Change a row of the table of spaces."""

    def change(data: dict[str, Any]) -> None:
        [found] = [each for each in data["spaces"] if each["gymnasium"] == gymnasium]
        found.update(values)

    return metadata(change)


_TO = "rlmesh.spaces.to_gymnasium_space"
_FROM = "rlmesh.spaces.from_gymnasium_space"
_RESET = "self, *, seed: int | None = None, options: dict[str, Any] | None = None"
_RESET_NAME = "rlmesh.RemoteEnv.reset (Stable): "
STALE = "generated/"
"""How the line begins that names the generated files that are not what the sources give."""

EXPORTS = [
    edit(
        "remove a Stable export",
        drop(SPACES, "from rlmesh.spaces.to_gymnasium import to_gymnasium_space\n"),
        drop(SPACES, '    "to_gymnasium_space",\n'),
        unlisted(_TO),
        lines=(
            STALE,
            (
                "rlmesh.spaces.to_gymnasium_space (Stable): it is gone: it was removed or renamed; "
                "bring it back. If it is meant: name `to_gymnasium_space` in CHANGELOG.md under "
                "[Unreleased], with `Migration:` and how to go on, and run `make baseline`."
            ),
        ),
    ),
    edit(
        "rename a Stable export",
        swap(SPACES, "import to_gymnasium_space\n", "import to_gymnasium_space as to_theirs\n"),
        swap(SPACES, '    "to_gymnasium_space",', '    "to_theirs",'),
        row(_TO, name="to_theirs"),
        lines=(STALE, "rlmesh.spaces.to_gymnasium_space (Stable): it is gone: "),
    ),
    edit(
        "move a Stable export to another module",
        drop(SPACES, '    "to_gymnasium_space",\n'),
        swap(PACKAGE, "__all__ = [\n", '__all__ = [\n    "to_gymnasium_space",\n'),
        swap(
            PACKAGE,
            "from rlmesh import errors\n",
            "from rlmesh import errors\nfrom rlmesh.spaces import to_gymnasium_space\n",
        ),
        unlisted(_TO),
        listed("rlmesh.to_gymnasium_space", "function", "Stable"),
        lines=(
            STALE,
            (
                "rlmesh.spaces.to_gymnasium_space (Stable): it is gone: it stands at "
                "rlmesh.to_gymnasium_space now"
            ),
        ),
    ),
    breaks(
        "take a Stable export off __all__",
        "rlmesh.errors.StateError is listed in api_metadata.json and not exported",
        drop(ERRORS, '    "StateError",\n'),
    ),
    breaks(
        "take a module off __all__",
        "rlmesh.spaces (Stable): it is gone: ",
        drop(PACKAGE, '    "spaces",\n'),
    ),
    # The package cannot be imported then, as the gate does once it looks at the commands.
    edit(
        "delete what a Stable export stands for",
        swap(ERRORS, "class StateError(", "class _StateError("),
        lines=("rlmesh.errors.StateError is listed in api_metadata.json and stands for nothing",),
        alone=True,
    ),
    edit(
        "make a Stable export stand for another thing",
        row("rlmesh.RlmeshError", alias_of="rlmesh.errors.StateError"),
        lines=(STALE, "rlmesh.RlmeshError (Stable): it is rlmesh.errors.StateError now"),
    ),
    breaks(
        "leave an export to type checkers alone",
        "rlmesh.RemoteEnv: type checkers find it in rlmesh.client.env, and programs nowhere",
        drop(PACKAGE, '    "RemoteEnv": "rlmesh.client.env",\n'),
    ),
    edit(
        "lower the label of an export",
        row(_FROM, stability="Experimental"),
        lines=(
            STALE,
            (
                "rlmesh.spaces.from_gymnasium_space (Stable): its label fell from Stable to "
                "Experimental; raise it again. If it is meant: "
            ),
        ),
    ),
    edit(
        "lower the label of an export to Internal",
        row(_FROM, stability="Internal"),
        lines=(
            STALE,
            "rlmesh.spaces.from_gymnasium_space (Stable): its label fell from Stable to",
        ),
    ),
    edit(
        "lower the label of a member",
        row("rlmesh.RemoteEnv", experimental=["step", "step_many", "stats"]),
        lines=(
            STALE,
            "rlmesh.RemoteEnv.step (Stable): its label fell from Stable to Experimental",
        ),
    ),
    breaks(
        "export what is not listed",
        "rlmesh.errors.retry is exported and not listed; list it in api_metadata.json",
        swap(ERRORS, "__all__ = [\n", '__all__ = [\n    "retry",\n'),
        append(ERRORS, '\n\ndef retry() -> None:\n    """Tries again."""\n'),
    ),
    breaks(
        "define a public class in a public module, and do not list it",
        "rlmesh.errors.RetryError is exported and not listed",
        append(ERRORS, '\n\nclass RetryError(RlmeshError):\n    """Try again."""\n'),
    ),
    edit(
        "remove a member that is listed as Experimental",
        swap(ERRORS, "    transitions: Any = None\n", ""),
        lines=(
            "rlmesh.errors.RlmeshError.transitions is listed in api_metadata.json as Experimental",
            (
                "rlmesh.errors.RlmeshError.transitions (Experimental): it is gone: it was removed "
                "or renamed; bring it back. If it is meant: name `RlmeshError.transitions` in "
                "CHANGELOG.md under [Unreleased], and run `make baseline`."
            ),
        ),
    ),
]

PARAMETERS = [
    breaks(
        "remove a parameter",
        f"{_RESET_NAME}the parameter `options` is gone; bring it back. If it is meant: name "
        "`RemoteEnv.reset` in CHANGELOG.md",
        swap(ENV, _RESET, "self, *, seed: int | None = None"),
    ),
    breaks(
        "rename a parameter",
        f"{_RESET_NAME}the parameter `seed` was renamed to `start`",
        swap(ENV, _RESET, _RESET.replace("seed:", "start:")),
    ),
    breaks(
        "reorder parameters",
        "rlmesh.spaces.Box.__init__ (Stable): the parameters `low`, `high` stand in another order",
        swap(BOX, "low: Numbers,\n        high: Numbers,", "high: Numbers,\n        low: Numbers,"),
    ),
    breaks(
        "put a new optional parameter before others",
        "rlmesh.spaces.Box.__init__ (Stable): the parameters `shape`, `dtype` stand in another",
        swap(
            BOX, "        shape: Any = None,", "        unit: str = '',\n        shape: Any = None,"
        ),
    ),
    breaks(
        "re-default a parameter",
        "rlmesh.RemoteEnv.__init__ (Stable): the default of `connect_timeout_seconds` is 5.0 now, "
        "it was 10.0",
        swap(ENV, "float | None = 10.0", "float | None = 5.0"),
    ),
    breaks(
        "make a parameter required",
        "rlmesh.RemoteEnv.__init__ (Stable): the parameter `copy` is required now",
        swap(ENV, "copy: bool = True", "copy: bool"),
    ),
    breaks(
        "make a parameter keyword-only",
        "rlmesh.EnvServer.wait (Stable): the parameter `timeout` is keyword-only now",
        swap(ENDPOINT, "def wait(self, timeout:", "def wait(self, *, timeout:"),
    ),
    breaks(
        "make a parameter positional-only",
        "rlmesh.EnvServer.wait (Stable): the parameter `timeout` is positional-only now",
        swap(
            ENDPOINT,
            "timeout: float | None = None) -> bool",
            "timeout: float | None = None, /) -> bool",
        ),
    ),
    breaks(
        "add a required parameter",
        f"{_RESET_NAME}the new parameter `transport` is required",
        swap(ENV, _RESET, f"{_RESET}, transport: str"),
    ),
    breaks(
        "narrow the type of a parameter",
        "rlmesh.EnvServer.__init__ (Stable): the parameter `path` takes str | None now, it took "
        "str | os.PathLike[str] | None",
        swap(SERVER, "path: str | os.PathLike[str] | None", "path: str | None"),
    ),
    breaks(
        "narrow an alias of a type",
        "rlmesh.spaces.Box.__init__ (Stable): the parameter `low` takes float now, it took Any",
        swap(BOX, "Numbers = Any", "Numbers = float"),
        swap(BOX, "high: Numbers", "high: Any"),
    ),
    breaks(
        "narrow what an element of a parameter is",
        "rlmesh.spaces.Dict.__init__ (Stable): the parameter `spaces` takes ",
        swap(
            CONTAINERS,
            "Mapping[str, Space] | Iterable[tuple[str, Space]]",
            "Mapping[str, DictSpace] | Iterable[tuple[str, Space]]",
        ),
    ),
    breaks(
        "widen a result",
        "rlmesh.EnvServer.wait (Stable): it returns bool | None now, it returned bool",
        swap(
            ENDPOINT,
            "timeout: float | None = None) -> bool:",
            "timeout: float | None = None) -> bool | None:",
        ),
    ),
    breaks(
        "return something else in a tuple",
        "rlmesh.RemoteEnv.step (Stable): it returns tuple[ObsType, float, bool, "
        "dict[str, Any]] now",
        swap(ENV, "tuple[ObsType, float, bool, bool,", "tuple[ObsType, float, bool,"),
    ),
    breaks(
        "forget the type of a result",
        "rlmesh.EnvServer.address (Stable): its type is Any now, it was str",
        swap(ENDPOINT, "def address(self) -> str:", "def address(self):"),
    ),
]

CLASSES = [
    breaks(
        "rename a method",
        "rlmesh.RemoteEnv.close (Stable): it is gone: ",
        swap(ENV, "def close(self)", "def end(self)"),
    ),
    breaks(
        "make a property a method",
        "rlmesh.RemoteEnv.transport (Stable): it was an attribute and is a function",
        swap(ENV, "    @property\n    def transport", "    def transport"),
    ),
    breaks(
        "make a class method a plain one",
        "rlmesh.spaces.Box.from_arrays (Stable): it is a plain function now, it was classmethod",
        drop(BOX, "    @classmethod\n"),
    ),
    breaks(
        "make a method asynchronous",
        "rlmesh.RemoteEnv.close (Stable): it is async now, it was a plain function",
        swap(ENV, "def close(self)", "async def close(self)"),
    ),
    breaks(
        "make an attribute one that cannot be set",
        "rlmesh.RemoteEnv.env_contract (Stable): it cannot be set any more",
        drop(ENV, "        self.env_contract: EnvContract = contract\n"),
        swap(
            ENV,
            "    @property\n    def transport",
            "    @property\n    def env_contract(self) -> EnvContract:\n"
            "        return self._env_client.contract\n\n    @property\n    def transport",
        ),
    ),
    breaks(
        "remove an attribute",
        "rlmesh.RemoteEnv.env_contract (Stable): it is gone: ",
        drop(ENV, "        self.env_contract: EnvContract = contract\n"),
    ),
    breaks(
        "remove a special method",
        "rlmesh.spaces.Dict.__iter__ (Stable): it is gone: ",
        swap(CONTAINERS, "def __iter__(", "def _each("),
    ),
    breaks(
        "rename a field",
        "rlmesh.ServeOptions.idle_timeout_seconds (Stable): it is gone: ",
        swap(OPTIONS, "    idle_timeout_seconds: float", "    idle_seconds: float"),
    ),
    breaks(
        "re-default a field",
        "rlmesh.ServeOptions.__init__ (Stable): the default of `allow_remote_shutdown` is True now",
        swap(OPTIONS, "allow_remote_shutdown: bool = False", "allow_remote_shutdown: bool = True"),
    ),
    breaks(
        "let objects change that were frozen",
        "rlmesh.ServeOptions.__hash__ (Stable): it is gone: ",
        swap(OPTIONS, "frozen=True, ", ""),
    ),
    breaks(
        "reorder what an Experimental tuple gives",
        "rlmesh.Transitions (Experimental): unpacking it gives ",
        swap(
            "rlmesh/client/transitions.py",
            "    terminations: npt.NDArray[np.bool_]\n    truncations: npt.NDArray[np.bool_]\n",
            "    truncations: npt.NDArray[np.bool_]\n    terminations: npt.NDArray[np.bool_]\n",
        ),
    ),
    breaks(
        "let an error be no ValueError",
        "rlmesh.errors.InvalidAddressError (Stable): it is no ValueError any more",
        swap(
            ERRORS,
            "InvalidAddressError(RlmeshError, ValueError)",
            "InvalidAddressError(RlmeshError)",
        ),
    ),
    breaks(
        "take an error out of its family",
        "rlmesh.errors.ProtocolError (Stable): it is no rlmesh.errors.EndpointError any more",
        swap(
            ERRORS,
            "class ProtocolError(EndpointError)",
            "class ProtocolError(RlmeshError, ConnectionError)",
        ),
    ),
    breaks(
        "swap the type arguments of a generic class",
        "rlmesh.RemoteEnv (Stable): it is no Generic[ObsType, ActType] any more",
        swap(ENV, "Generic[ObsType, ActType]):", "Generic[ActType, ObsType]):"),
    ),
    breaks(
        "take the default of a type argument",
        "rlmesh.ObsType (Stable): it is TypeVar('ObsType') now",
        swap(TYPE_ARGUMENTS, 'TypeVar("ObsType", default=Any)', 'TypeVar("ObsType")'),
    ),
    breaks(
        "return an Experimental thing from a Stable class",
        "rlmesh.RemoteEnv.last is Stable and shows rlmesh.CallStats, which is Experimental",
        swap(
            ENV,
            "    def close(self)",
            "    def last(self) -> CallStats: ...\n\n    def close(self)",
        ),
    ),
    breaks(
        "give a Stable class a field of an Experimental type",
        "rlmesh.ServeOptions.space is Stable and shows rlmesh.spaces.Text, which is Experimental",
        swap(
            OPTIONS, "\nfrom rlmesh.errors", "\nfrom rlmesh.spaces import Text\nfrom rlmesh.errors"
        ),
        swap(
            OPTIONS,
            "    close_timeout_seconds: float | None = None\n",
            "    close_timeout_seconds: float | None = None\n    space: Text | None = None\n",
        ),
    ),
    breaks(
        "derive a Stable class from an Experimental one",
        "rlmesh.spaces.Dict is Stable and shows rlmesh.spaces.Tuple, which is Experimental",
        swap(CONTAINERS, "class Dict(DictSpace)", "class Dict(DictSpace, Tuple)"),
    ),
    breaks(
        "show a class that nobody can name",
        "rlmesh.RemoteEnv.env_client is public and shows rlmesh.client.env_client.EnvClient, "
        "which is not",
        swap(
            ENV,
            "    def close(self)",
            "    def env_client(self) -> EnvClient: ...\n\n    def close(self)",
        ),
    ),
]

WIRE = [
    wire(
        "renumber a field",
        "DictSpace.keep_order (Stable): previously present field",
        swap(SPACE_PROTO, "bool keep_order = 2;", "bool keep_order = 9;"),
    ),
    wire(
        "retype a field",
        'DictSpace.keep_order (Stable): field "2" with name "keep_order" on message "DictSpace" '
        'changed type from "bool" to "uint32"',
        swap(SPACE_PROTO, "bool keep_order = 2;", "uint32 keep_order = 2;"),
    ),
    wire(
        "rename a field of a message",
        'DictSpace.keep_order (Stable): field "2" on message "DictSpace" changed name',
        swap(SPACE_PROTO, "bool keep_order = 2;", "bool in_order = 2;"),
    ),
    wire(
        "remove a field",
        "DictSpace.keep_order (Stable): previously present field",
        drop(SPACE_PROTO, "  bool keep_order = 2;\n"),
    ),
    wire(
        "make an optional field a plain one",
        'TextSpace.charset (Stable): field "3" with name "charset" on message "TextSpace" changed',
        swap(SPACE_PROTO, "optional string charset", "string charset"),
    ),
    wire(
        "remove an enum value",
        "Dtype.DTYPE_INT8 (Stable): previously present enum value",
        drop(SPACE_PROTO, "  // Signed, 1 byte.\n  DTYPE_INT8 = 2;\n"),
    ),
    wire(
        "renumber an enum value",
        "Dtype.DTYPE_INT8 (Stable): previously present enum value",
        swap(SPACE_PROTO, "DTYPE_INT8 = 2;", "DTYPE_INT8 = 77;"),
    ),
    wire(
        "remove a method",
        'EnvService.Shutdown (Stable): previously present RPC "Shutdown" on service "EnvService"',
        drop(SERVICE_PROTO, "  rpc Shutdown(ShutdownRequest) returns (ShutdownResponse);\n"),
    ),
    wire(
        "make a method answer once",
        'EnvService.Session (Stable): RPC "Session" on service "EnvService" changed from server ',
        swap(SERVICE_PROTO, "returns (stream SessionResponse)", "returns (SessionResponse)"),
    ),
]

SPACE_TABLE = [
    edit(
        "take a space off the table",
        space("Text", arm="dict"),
        lines=(
            "api_metadata.json: the arm dict is listed twice; remove one",
            "rlmesh_api/v1/space.proto: the arm Space.text has no row in api_metadata.json",
            (
                "api_metadata.json: the space Text is the arm dict, and rlmesh.spaces.Text is of "
                "the kind text"
            ),
        ),
    ),
    edit(
        "support a space in the table alone",
        space("Graph", rlmesh="Graph", arm="graph", stability="Experimental"),
        lines=(
            "api_metadata.json: the space Graph names the arm graph, which the message Space lacks",
            "api_metadata.json: the space Graph needs the export rlmesh.spaces.Graph",
            (
                "api_metadata.json: the space Graph is supported, and "
                "rlmesh.spaces.from_gymnasium._CONVERTERS lacks it"
            ),
        ),
    ),
    breaks(
        "stop converting a space in the code alone",
        "api_metadata.json: the space Text is supported, and "
        "rlmesh.spaces.from_gymnasium._CONVERTERS lacks it",
        drop(CONVERTERS, '    "Text": _text,\n'),
    ),
    breaks(
        "convert another space in the code alone",
        "rlmesh.spaces.from_gymnasium._CONVERTERS converts Sequence",
        swap(CONVERTERS, '    "Text": _text,\n', '    "Text": _text,\n    "Sequence": _text,\n'),
    ),
    edit(
        "label a space and its class differently",
        space("Text", stability="Stable"),
        lines=("api_metadata.json: rlmesh.spaces.Text is Experimental and its space Stable",),
    ),
]

GENERATED = [
    edit(
        "edit a generated class",
        swap(CONTRACT, '    NEXT_STEP = "next_step"', '    NEXT_STEP = "next"'),
        lines=(
            (
                "generated/rlmesh_api/contract.py: not what schema/ and api_metadata.json give; "
                "change those and never generated/, run `make generate`"
            ),
            "rlmesh_api.contract.AutoresetMode.NEXT_STEP (Stable): it is 'next' now",
        ),
    ),
    breaks(
        "edit a generated table",
        "generated/rlmesh_api/stability.py: not what",
        append("generated/rlmesh_api/stability.py", "\n# Mine.\n"),
    ),
    breaks(
        "edit a generated page",
        "generated/docs/spaces.md: not what",
        append("generated/docs/spaces.md", "\nMore.\n"),
    ),
    breaks(
        "edit a stub",
        "generated/rlmesh_api/v1/space_pb2.pyi: not what",
        append("generated/rlmesh_api/v1/space_pb2.pyi", "\n"),
    ),
    breaks(
        "put a file of one's own into generated/",
        "generated/rlmesh_api/mine.py: not what",
        append("generated/rlmesh_api/mine.py", ""),
    ),
    breaks(
        "delete a generated file",
        "generated/docs/errors.md: not what",
        delete("generated/docs/errors.md"),
    ),
    breaks(
        "edit the record",
        "baseline/api/rlmesh.errors.pyi: expected only what `make baseline` writes",
        swap(
            "baseline/api/rlmesh.errors.pyi",
            "class StateError(rlmesh.errors.RlmeshError, RuntimeError)",
            "class StateError(rlmesh.errors.RlmeshError)",
        ),
    ),
    breaks(
        "delete a part of the record",
        "baseline/api/rlmesh.errors.pyi: expected the file that `make baseline` wrote",
        delete("baseline/api/rlmesh.errors.pyi"),
    ),
]

COMMANDS = [
    edit(
        "rename an option of a command",
        swap(SERVE, '        "--ready-fd",', '        "--ready-file",'),
        lines=(
            "rlmesh serve (Experimental): the option `--ready-fd` was renamed to `--ready-file`",
            (
                "rlmesh serve-model (Experimental): the option `--ready-fd` was renamed to "
                "`--ready-file`"
            ),
            (
                "python -m rlmesh._cli.serve_env (Stable): the option `--ready-fd` was renamed to "
                "`--ready-file`; bring it back. If it is meant: name `serve_env` in CHANGELOG.md"
            ),
        ),
    ),
    breaks(
        "make an option of a command required",
        "python -m rlmesh._cli.serve_env (Stable): the new option `--kind` is required",
        swap(
            "rlmesh/_cli/serve_env.py",
            '@click.option("--env", metavar',
            '@click.option("--kind", required=True)\n@click.option("--env", metavar',
        ),
    ),
    edit(
        "narrow the range of an option of a command",
        swap(
            SERVE,
            '"--num-envs",\n        metavar="N",\n        type=click.IntRange(min=1)',
            '"--num-envs",\n        metavar="N",\n        type=click.IntRange(min=1, max=9)',
        ),
        lines=(
            "rlmesh serve (Experimental): the option `--num-envs` takes IntRange[x >= 1, x <= 9] ",
            (
                "python -m rlmesh._cli.serve_env (Stable): the option `--num-envs` takes "
                "IntRange[x >= 1, x <= 9] now, it took IntRange[x >= 1]; take that again"
            ),
        ),
    ),
    breaks(
        "re-default an option of a command",
        "rlmesh wait (Experimental): the default of `--timeout` is 3.0 now, it was 30.0",
        swap("rlmesh/_cli/asking.py", "default=30.0", "default=3.0"),
    ),
    breaks(
        "take a command away",
        "the command `rlmesh demo` is listed in api_metadata.json, and there is no such command",
        swap("rlmesh/_cli/main.py", '    "demo": "rlmesh._cli.demo.demo",\n', ""),
    ),
    breaks(
        "add a command that is not listed",
        "the command `rlmesh ask` is not listed; list it under the commands of api_metadata.json",
        append("rlmesh/_cli/main.py", '\n\n@main.command()\ndef ask() -> None:\n    """Asks."""\n'),
    ),
]

# Where the table of spaces is refused, nothing is generated; the line about generated files names
# three; a record that is refused is compared with nothing.
BREAKING = {
    "exports": EXPORTS,
    "parameters": PARAMETERS,
    "classes": CLASSES,
    "wire": WIRE,
    "space table": alone(SPACE_TABLE),
    "generated": alone(GENERATED),
    "commands": COMMANDS,
}

HARMLESS = [
    edit("add a comment", append(ENV, "\n# A comment.\n")),
    edit(
        "rewrite a docstring",
        swap(ENV, '"""Drives a served environment as if', '"""Drives an environment as if'),
    ),
    edit(
        "add an optional keyword parameter at the end",
        swap(ENV, _RESET, f"{_RESET}, quick: bool = False"),
    ),
    edit(
        "list and export something Experimental",
        listed("rlmesh.errors.RetryError", "exception", "Experimental"),
        swap(ERRORS, "__all__ = [\n", '__all__ = [\n    "RetryError",\n'),
        append(ERRORS, '\n\nclass RetryError(RlmeshError):\n    """Try again."""\n'),
    ),
    edit(
        "widen the type of a parameter",
        swap(SERVER, '"strict", "off"] | None', '"strict", "off"] | bytes | None'),
    ),
    edit(
        "widen a parameter from some words to every text",
        swap(
            SERVER, 'validation: Literal["warn", "strict", "off"] | None', "validation: str | None"
        ),
    ),
    edit(
        "widen a parameter to what its type derives from",
        swap(ENV, "actions: Iterable[ActType]", "actions: object"),
    ),
    edit(
        "narrow a result",
        swap(
            "rlmesh/spaces/to_gymnasium.py",
            "from rlmesh.errors",
            "from rlmesh.spaces.box import Box\nfrom rlmesh.errors",
        ),
        swap(
            CONVERTERS,
            "def from_gymnasium_space(space: object) -> Space:",
            "def from_gymnasium_space(space: object) -> Box:",
        ),
    ),
    edit("add a private helper", append(ERRORS, "\n\ndef _helper() -> None: ...\n")),
    edit(
        "reformat",
        swap(
            ENV,
            f"    def reset(\n        {_RESET}\n    )",
            "    def reset(\n        self,\n        *,\n        seed: int | None = None,\n"
            "        options: dict[str, Any] | None = None,\n    )",
        ),
    ),
    edit(
        "add a field with a new number",
        swap(
            SPACE_PROTO,
            "  bool keep_order = 2;\n",
            "  bool keep_order = 2;\n  // Whether keys are folded.\n  bool folded = 3;\n",
        ),
    ),
    edit(
        "add a method",
        swap(
            SERVICE_PROTO,
            "  // Ends the server as",
            "  // Tells it again.\n  rpc AskAgain(GetStatusRequest) returns (GetStatusResponse);\n"
            "  // Ends the server as",
        ),
    ),
    edit("add a test", append("tests/spaces/test_more.py", "def test_more() -> None: ...\n")),
    edit(
        "move a class behind its public name",
        rename("rlmesh/client/stats.py", "rlmesh/client/calls.py"),
        swap(PACKAGE, "rlmesh.client.stats", "rlmesh.client.calls", every=True),
        swap(ENV, "rlmesh.client.stats", "rlmesh.client.calls"),
        swap("rlmesh/client/vector_env.py", "rlmesh.client.stats", "rlmesh.client.calls"),
        swap("rlmesh/client/model.py", "rlmesh.client.stats", "rlmesh.client.calls"),
        swap("rlmesh/client/parallel_env.py", "rlmesh.client.stats", "rlmesh.client.calls"),
    ),
    edit(
        "put a class between an error and its base",
        listed("rlmesh.errors.AddressError", "exception", "Stable"),
        swap(ERRORS, "__all__ = [\n", '__all__ = [\n    "AddressError",\n'),
        swap(
            ERRORS,
            "class InvalidAddressError(RlmeshError, ValueError):",
            'class AddressError(RlmeshError, ValueError):\n    """An address."""\n\n\n'
            "class InvalidAddressError(AddressError):",
        ),
    ),
    edit(
        "move a method to a private base",
        swap(
            ENV,
            "class RemoteEnv(ExposedAttributes, gymnasium.Env[ObsType, ActType], ",
            "class _Closing:\n    def close(self) -> None: ...\n\n\n"
            "class RemoteEnv(_Closing, ExposedAttributes, gymnasium.Env[ObsType, ActType], ",
        ),
        swap(
            ENV,
            '    def close(self) -> None:\n        """Gives',
            '    def _close(self) -> None:\n        """Gives',
        ),
    ),
    edit(
        "add an option to a command",
        swap(
            "rlmesh/_cli/serve_env.py",
            '@click.option("--env", metavar',
            '@click.option("--kind")\n@click.option("--env", metavar',
        ),
    ),
    edit(
        "widen the range of an option of a command",
        swap(
            SERVE,
            '"--num-envs",\n        metavar="N",\n        type=click.IntRange(min=1)',
            '"--num-envs",\n        metavar="N",\n        type=click.IntRange(min=0)',
        ),
    ),
    edit("let a field be given by position", swap(OPTIONS, ", kw_only=True", "")),
    edit(
        "write a type in another way",
        swap(ENV, "import Any, ClassVar, Generic", "import Any, ClassVar, Generic, Optional"),
        swap(
            ENV, "request_timeout_seconds: float | None", "request_timeout_seconds: Optional[float]"
        ),
    ),
    edit(
        "raise a label",
        row("rlmesh.CallStats", stability="Stable"),
    ),
    edit("reorder exports", swap(SPACES, '    "Box",\n    "Dict",\n', '    "Dict",\n    "Box",\n')),
    # The breaks that the record remembers are those of its version.
    edit("raise the version", swap("rlmesh/_version.py", '"0.1.0"', '"0.2.0"'), alone=True),
]
