"""Runs protoc: stubs with their types, and the descriptor set that the renderers read."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from google.protobuf import descriptor_pb2

from codegen.errors import SourceError


def run_protoc(schema_root: Path, out: Path) -> descriptor_pb2.FileDescriptorSet:
    """Write the stubs of every proto under a folder.

    Args:
        schema_root: The folder that import paths start from.
        out: The absolute path of the folder that the stubs are written to, in folders of their own.

    Returns:
        The descriptors, with comments.

    Raises:
        SourceError: protoc refused the schema.
    """
    protos = sorted(
        path.relative_to(schema_root).as_posix() for path in schema_root.rglob("*.proto")
    )
    if not protos:
        raise SourceError([f"{schema_root.name}/: it holds no .proto file"])
    descriptor_file = out / "descriptors.binpb"
    _protoc(
        schema_root,
        [
            f"--python_out={out}",
            f"--mypy_out={out}",
            f"--descriptor_set_out={descriptor_file}",
            "--include_source_info",
        ],
        protos,
    )
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(descriptor_file.read_bytes())
    descriptor_file.unlink()
    # The gRPC plugins write an empty module for a proto without a service.
    if serving := [file.name for file in descriptors.file if file.service]:
        options = [f"--grpc_python_out={out}", f"--mypy_grpc_out=only_sync:{out}"]
        _protoc(schema_root, options, serving)
    return descriptors


def _protoc(schema_root: Path, options: Sequence[str], protos: Iterable[str]) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    plugins = [
        # protoc looks its plugins up on PATH, which an environment that is not activated lacks.
        f"--plugin={name}={scripts / name}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    command = [sys.executable, "-P", "-m", "grpc_tools.protoc", "--proto_path=."]
    done = subprocess.run(
        [*command, *plugins, *options, *protos],
        cwd=schema_root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # The first line is the cause; what follows are its consequences in other files.
        raise SourceError([f"protoc: {done.stderr.strip().partition(chr(10))[0]}"])
