"""The schema gives stubs in other languages; `make stubs` writes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from foreign.generate_stubs import NO_GO, generate_stubs
from rlmesh_api.v1 import (
    adapter_pb2,
    contract_pb2,
    env_service_pb2,
    model_service_pb2,
    recording_pb2,
    session_pb2,
    space_pb2,
    value_pb2,
)
from support.node_packages import MISSING, PACKAGES, node, node_environment
from support.repository import ROOT

PROTOS = [path.stem for path in (ROOT / "schema/rlmesh_api/v1").glob("*.proto")]
FILES = [
    module.DESCRIPTOR
    for module in (
        adapter_pb2,
        contract_pb2,
        env_service_pb2,
        model_service_pb2,
        recording_pb2,
        session_pb2,
        space_pb2,
        value_pb2,
    )
]

# A program of a user: it has the types of the schema.
USE = """
import { create, toBinary } from "@bufbuild/protobuf";
import { SessionRequestSchema } from "./stubs/rlmesh_api/v1/session_pb";

const request = create(SessionRequestSchema, { sequence: 1n, call: { case: "render", value: {} } });
export const bytes: Uint8Array = toBinary(SessionRequestSchema, request);
"""

pytestmark = pytest.mark.xdist_group("stubs")


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if MISSING:
        pytest.skip(MISSING)
    if not shutil.which("protoc", path=node_environment()["PATH"]):
        pytest.skip("protoc is not installed: `make check` installs it")
    return generate_stubs(tmp_path_factory.mktemp("stubs"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_java_has_a_class_of_its_own_for_each_message_and_enum(stubs: dict[str, Path]) -> None:
    classes = {f"{name}.java" for file in FILES for name in file.message_types_by_name}
    classes |= {f"{name}.java" for file in FILES for name in file.enum_types_by_name}
    assert len(classes) > 40
    assert classes <= names(stubs["java"] / "com/rlmesh/api/v1")


def test_cpp_has_a_header_and_a_source_for_each_proto(stubs: dict[str, Path]) -> None:
    expected = {f"{proto}.pb.{suffix}" for proto in PROTOS for suffix in ("h", "cc")}
    assert names(stubs["cpp"] / "rlmesh_api/v1") == expected


def test_typescript_has_a_module_for_each_proto_and_the_service(stubs: dict[str, Path]) -> None:
    folder = stubs["typescript"] / "rlmesh_api/v1"
    assert names(folder) == {f"{proto}_pb.ts" for proto in PROTOS}
    assert "export const EnvService: GenService<" in (folder / "env_service_pb.ts").read_text()


def test_typescript_compiles(stubs: dict[str, Path], tmp_path: Path) -> None:
    compiler = PACKAGES / "typescript/bin/tsc"
    if not compiler.is_file():
        pytest.skip(f"there is no {compiler}: `make node-packages` installs it")
    shutil.copytree(stubs["typescript"], tmp_path / "stubs")
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    (tmp_path / "use.ts").write_text(USE)
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext"]
    files = [str(file) for file in (tmp_path / "stubs").rglob("*.ts")]
    done = subprocess.run(
        [node(), compiler, *options, "--moduleResolution", "bundler", "use.ts", *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_go_has_one_package(stubs: dict[str, Path]) -> None:
    if "go" not in stubs:
        pytest.skip(NO_GO)
    folder = stubs["go"] / "rlmesh_api/v1"
    assert names(folder) == {f"{proto}.pb.go" for proto in PROTOS}
    packages = [
        re.findall(r"^package (\w+)$", file.read_text(), re.MULTILINE) for file in folder.iterdir()
    ]
    assert packages == [["rlmeshapiv1"]] * len(PROTOS)


def test_every_proto_says_the_same_packages() -> None:
    """What Go's generator asks for, also where it is not installed."""
    assert len(FILES) == len(PROTOS)
    options = [file.GetOptions() for file in FILES]
    assert {option.go_package for option in options} == {
        "github.com/rlmesh/rlmesh/gen/go/rlmesh_api/v1;rlmeshapiv1"
    }
    assert {option.java_package for option in options} == {"com.rlmesh.api.v1"}
    assert all(option.java_multiple_files for option in options)
