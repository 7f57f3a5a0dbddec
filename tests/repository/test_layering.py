"""Nothing is imported that is not declared.

`make layers` checks all else about imports, by the contracts in pyproject.toml. Its tool,
import-linter, forbids what a list names; it cannot forbid everything but what a list names.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from support.repository import ROOT, dependencies

# What a module imports that users install by themselves, when they want that module.
OPTIONAL = {
    "rlmesh/adapters/images.py": {"PIL"},
    "rlmesh/client/call_spans.py": {"opentelemetry"},
    "rlmesh/client/parallel_env.py": {"pettingzoo"},
    "rlmesh/envs/agents.py": {"pettingzoo"},
    "rlmesh/evaluation/intervals.py": {"scipy"},
    "rlmesh/evaluation/plotting.py": {"matplotlib"},
    "rlmesh/evaluation/results.py": {"pandas"},
    "rlmesh/jax.py": {"jax"},
    "rlmesh/openpi/connection.py": {"websockets"},
    "rlmesh/ray/actors.py": {"ray"},
    "rlmesh/ray/cluster.py": {"ray"},
    "rlmesh/ray/servers.py": {"ray"},
    "rlmesh/sb3.py": {"stable_baselines3"},
    "rlmesh/server/metrics/collector.py": {"prometheus_client"},
    "rlmesh/server/metrics/port.py": {"prometheus_client"},
    "rlmesh/server/openpi/connection.py": {"websockets"},
    "rlmesh/server/openpi/gateway.py": {"websockets"},
    "rlmesh/server/sessions/spans.py": {"opentelemetry"},
    "rlmesh/torch.py": {"torch"},
    "rlmesh/tracing.py": {"opentelemetry"},
    "rlmesh/view/app.py": {"starlette"},
    "rlmesh/view/guard.py": {"starlette"},
    "rlmesh/view/images.py": {"PIL"},
    "rlmesh/view/serving.py": {"uvicorn"},
}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, wherever in it, with its line.

    A relative import brings nothing from outside; ruff asks for a reason for each.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, str(node.module)


def sources(*folders: str) -> list[Path]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in paths if "_pb2" not in path.name]


def offences(paths: list[Path], allowed: set[str]) -> list[str]:
    """What files import besides the standard library and the packages that are allowed."""
    return [
        f"{name}:{line} imports {module}"
        for path in paths
        for name in [path.relative_to(ROOT).as_posix()]
        for line, module in imported(path)
        if module.partition(".")[0]
        not in allowed | OPTIONAL.get(name, set()) | set(sys.stdlib_module_names)
    ]


def test_generated_imports_only_itself_and_what_messages_need() -> None:
    # grpcio needs the last of them too.
    allowed = {"google", "grpc", "rlmesh_api", "typing_extensions"}
    assert not offences(sources("generated", "codegen/runtime"), allowed)


def test_the_package_imports_only_what_it_declares() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in dependencies()}
    allowed = {"rlmesh", "rlmesh_api"} | {
        module
        for module, distributions in metadata.packages_distributions().items()
        if declared & {canonicalize_name(name) for name in distributions}
    }
    assert not offences(sources("rlmesh", "generated"), allowed)


def test_the_server_for_old_interpreters_imports_nothing_of_rlmesh() -> None:
    allowed = {"google", "grpc", "numpy", "rlmesh_legacy_server"}
    assert not offences(sources("legacy/rlmesh_legacy_server"), allowed)
