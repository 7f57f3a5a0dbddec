"""The stubs and pyproject.toml tell the same versions."""

from __future__ import annotations

import re

from packaging.version import Version

from support.repository import ROOT, dependencies


def lower_bound(name: str) -> str:
    [requirement] = [each for each in dependencies() if each.name == name]
    [bound] = [each.version for each in requirement.specifier if each.operator == ">="]
    return bound


def versions_in_stubs(pattern: str, suffix: str) -> set[str]:
    stubs = list((ROOT / "generated").rglob(f"*{suffix}"))
    found = [re.search(pattern, stub.read_text()) for stub in stubs]
    assert stubs
    assert all(found), f"no version in one of {stubs}"
    return {match[1] for match in found if match}


def test_the_oldest_protobuf_is_the_one_that_the_stubs_were_made_for() -> None:
    assert versions_in_stubs(r"# Protobuf Python Version: (\S+)", "_pb2.py") == {
        lower_bound("protobuf")
    }


def test_the_oldest_grpcio_runs_the_stubs() -> None:
    [made_for] = versions_in_stubs(r"GRPC_GENERATED_VERSION = '(\S+)'", "_pb2_grpc.py")
    assert Version(lower_bound("grpcio")) >= Version(made_for)


def test_the_services_of_grpcio_start_from_one_version_that_the_oldest_grpcio_runs() -> None:
    [bound] = {lower_bound(name) for name in ("grpcio-health-checking", "grpcio-reflection")}
    assert Version(bound) <= Version(lower_bound("grpcio"))
