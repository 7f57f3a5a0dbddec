"""Runs protoc: stubs with their types, and the descriptor set that the renderers read."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from google.protobuf import descriptor_pb2

from codegen.errors import SourceError

# Without the working directory on the path. Python 3.10 has no option for this alone.
SAFE_PATH = "-P" if sys.version_info >= (3, 11) else "-I"
_PLACE = re.compile(r"\S+\.proto:")
_SYNTAX = re.compile(r'^syntax = "proto3";', re.MULTILINE)


def run_protoc(schema_root: Path, out: Path) -> descriptor_pb2.FileDescriptorSet:
    """Write the stubs of every proto under a folder.

    Args:
        schema_root: The folder that import paths start from.
        out: The absolute path of the folder that the stubs are written to, in subfolders.

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
    for proto in protos:
        _check_text(schema_root / proto, proto)
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
    command = [sys.executable, SAFE_PATH, "-m", "grpc_tools.protoc", "--proto_path=."]
    done = subprocess.run(
        [*command, *plugins, *options, *protos],
        cwd=schema_root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it failed and said nothing"]
        # The first place is the cause; what follows are its consequences in other files.
        cause = next((line for line in lines if _PLACE.match(line)), lines[-1])
        raise SourceError([f"protoc: {cause}"])


def _check_text(path: Path, name: str) -> None:
    """Refuse what protoc passes on to a plugin that breaks, or reads as another language."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SourceError([f"{name}: line {line}: expected UTF-8, got {error.reason}"]) from None
    except OSError as error:
        raise SourceError([f"{name}: it cannot be read: {error.strerror}"]) from None
    if not _SYNTAX.search(text):
        raise SourceError([f'{name}: expected a line `syntax = "proto3";`, got none'])
