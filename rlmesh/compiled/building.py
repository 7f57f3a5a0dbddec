"""Compiles the extension `rlmesh.compiled._step`, if a C compiler is there.

It imports nothing of RLMesh: the build of a wheel runs it before anything is installed.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

_HERE = Path(__file__).parent
SOURCES: tuple[Path, ...] = tuple(
    _HERE / name
    for name in (
        "common.h",
        "messages.c",
        "leaves.c",
        "check.c",
        "plain.c",
        "infos.c",
        "segment.c",
        "step.c",
    )
)
"""What the extension is made of."""
BINARY: Path = _HERE / "_step.abi3.so"
"""The extension. One binary serves every CPython from 3.10 on."""

_FLAGS = ("-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden")
_SECONDS = 120.0


def digest() -> str:
    """What says which sources a binary was made of."""
    known = hashlib.sha256()
    for source in SOURCES:
        known.update(source.read_bytes())
    return known.hexdigest()[:16]


def build() -> str:
    """Compiles the extension in place.

    Returns:
        Why there is none; empty if it was built.
    """
    reason = _why_not_built()
    if reason:
        BINARY.unlink(missing_ok=True)
    return reason


def _why_not_built() -> str:
    if sys.platform != "linux" or sys.byteorder != "little":
        return "only built on Linux, on little-endian machines"
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "only built for CPython with its lock"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    # Several may build at once, and others import the binary meanwhile.
    making = BINARY.with_suffix(f".{secrets.token_hex(8)}.making")
    command = [compiler, *_FLAGS, f'-DRLMESH_DIGEST="{digest()}"']
    command += [f"-I{sysconfig.get_path('include')}"]
    command += [str(source) for source in SOURCES if source.suffix == ".c"]
    try:
        made = subprocess.run(  # noqa: S603 - the interpreter names its compiler
            [*command, "-o", str(making)],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        making.unlink(missing_ok=True)
        return f"no C compiler: {error}"
    if made.returncode:
        making.unlink(missing_ok=True)
        return f"{compiler} failed: {made.stderr.strip()[-500:]}"
    # A process that has mapped the old binary keeps it.
    making.replace(BINARY)
    return ""
