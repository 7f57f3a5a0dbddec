"""Small sources of truth, and the way through the generator."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codegen.descriptors import read_schema
from codegen.generate import LEGACY
from codegen.metadata import Metadata, parse_metadata
from codegen.model import Schema
from codegen.protoc import run_protoc
from rlmesh_api import contract
from support.repository import ROOT

ReadProto = Callable[[str], Schema]
"""Reads the declarations of a proto, without its head, through protoc into the model."""

HEAD = '// A file.\nsyntax = "proto3";\npackage rlmesh_api.v1;\n'


@pytest.fixture
def read_proto(tmp_path: Path) -> ReadProto:
    def read(declarations: str) -> Schema:
        folder = tmp_path / "schema" / "rlmesh_api" / "v1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "small.proto").write_text(HEAD + declarations)
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        return read_schema(run_protoc(tmp_path / "schema", out))

    return read


@pytest.fixture
def metadata_data() -> dict[str, Any]:
    """What stands in api_metadata.json, to be damaged."""
    data: dict[str, Any] = json.loads((ROOT / "api_metadata.json").read_text())
    return data


@pytest.fixture
def metadata(metadata_data: dict[str, Any]) -> Metadata:
    return parse_metadata(metadata_data)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the sources of truth and of what is generated from them."""
    for name in ("schema", "generated", LEGACY):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "api_metadata.json", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def generated_arms() -> Iterator[None]:
    """Reading gives the generated spaces, whatever subclasses have taken their places."""
    arms = {
        each.kind: each
        for each in vars(contract).values()
        if "kind" in getattr(each, "__dict__", {}) and issubclass(each, contract.Space)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contract.Space, "_arms", arms)
        yield
