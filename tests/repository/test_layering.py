"""Imports run one way: codegen -> generated -> rlmesh, and inside rlmesh from room to room."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from support.repository import ROOT, dependencies

# From the ground up. A room imports rooms of the lines above its own: never its neighbours.
LAYERS = (
    {"_version", "errors"},
    {"address", "seconds"},
    {"security"},
    {"spaces"},
    {"values"},
    {"contract"},
    {"transports"},
    {"client", "server", "typegen"},
    {"numpy", "torch"},  # the clients, typed for an array library; each imports its own
    {"rlmesh"},  # the package's own __init__.py
    {"_cli"},
    {"__main__"},
)
LAYER = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}

NETWORK = {"asyncio", "grpc", "grpc_health", "grpc_reflection", "http", "select", "socket", "ssl"}
FORBIDDEN = {
    **{room: NETWORK for height in range(LAYER["transports"]) for room in LAYERS[height]},
    "transports": {"gymnasium"},
}
TERMINAL = {"click", "rich"}
OPTIONAL = {"torch"}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, wherever in it, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                (node.lineno, f"{node.module}.{alias.name}" if node.level == 0 else "(relative)")
                for alias in node.names
            )


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "rlmesh").with_suffix("").parts
    return "rlmesh" if parts == ("__init__",) else parts[0]


def room_named(module: str) -> str:
    """The package that `rlmesh.codec.slab.layout` stands in; of its own names: `rlmesh`."""
    name = module.partition(".")[2].partition(".")[0]
    folder = ROOT / "rlmesh" / name
    is_room = bool(name) and (folder.is_dir() or folder.with_suffix(".py").is_file())
    return name if is_room else "rlmesh"


def sources(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if "_pb2" not in path.name]


def offences(paths: list[Path], allowed: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in paths
        for line, module in imported(path)
        if module.partition(".")[0] not in allowed | set(sys.stdlib_module_names)
    ]


def test_every_room_has_a_layer() -> None:
    unknown = {room_of(path) for path in sources("rlmesh")} - set(LAYER)
    assert not unknown, f"say in LAYERS where these rooms stand: {sorted(unknown)}"


def test_rooms_import_only_rooms_below_them() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources("rlmesh")
        for line, module in imported(path)
        if module.partition(".")[0] == "rlmesh"
        and room_named(module) != room_of(path)
        and LAYER[room_named(module)] >= LAYER[room_of(path)]
    ]
    assert not wrong


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_pure_rooms_know_no_network_and_transports_no_environment(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources("rlmesh")
        if room_of(path) == room
        for line, module in imported(path)
        if module.partition(".")[0] in FORBIDDEN[room]
    ]
    assert not wrong


def test_only_the_command_line_imports_the_libraries_of_terminals() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources("rlmesh")
        if room_of(path) != "_cli"
        for line, module in imported(path)
        if module.partition(".")[0] in TERMINAL
    ]
    assert not wrong


def test_generated_imports_only_itself_and_what_messages_need() -> None:
    allowed = {"google", "grpc", "rlmesh_api"}
    assert not offences(sources("generated") + sources("codegen/runtime"), allowed)


def test_codegen_imports_nothing_that_it_writes_or_serves() -> None:
    paths = [path for path in sources("codegen") if (ROOT / "codegen/runtime") not in path.parents]
    wrong = [line for line in offences(paths, set()) if " imports rlmesh" in line]
    assert not wrong


def test_the_package_imports_only_what_it_declares() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in dependencies()}
    allowed = {"rlmesh", "rlmesh_api"} | {
        module
        for module, distributions in metadata.packages_distributions().items()
        if declared & {canonicalize_name(name) for name in distributions}
    }
    optional = [path for path in sources("rlmesh") if room_of(path) in OPTIONAL]
    always = [path for path in sources("rlmesh") if path not in optional]
    assert not offences(always + sources("generated"), allowed)
    assert not offences(optional, allowed | OPTIONAL)
