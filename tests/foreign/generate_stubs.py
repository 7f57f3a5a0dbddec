"""Generates the stubs of other languages from schema/, as their users do.

    python tests/foreign/generate_stubs.py FOLDER

C++ and Java come from protoc, TypeScript from protoc-gen-es, and Go from protoc-gen-go where that
is on the PATH: neither PyPI nor npm has it, Debian has it in its package protoc-gen-go.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.node_packages import node_environment
from support.repository import ROOT

NO_GO = (
    "protoc-gen-go is not on the PATH. Neither PyPI nor npm has it; Debian has: apt-get install "
    "protoc-gen-go"
)
"""Why there are no stubs of Go."""


def generate_stubs(folder: Path) -> dict[str, Path]:
    """Writes the stubs of each language into a folder of its name; returns these folders.

    Args:
        folder: Where the folders are made.

    Raises:
        RuntimeError: If buf, or a generator that it calls, fails.
    """
    variables = node_environment()
    found = {name: shutil.which(name, path=variables["PATH"]) for name in ("buf", "protoc")}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise RuntimeError(f"not installed: {missing}; `make stubs` installs them")
    plugins: list[dict[str, Any]] = [
        {"protoc_builtin": "cpp", "protoc_path": found["protoc"], "out": "cpp"},
        {"protoc_builtin": "java", "protoc_path": found["protoc"], "out": "java"},
        {"local": "protoc-gen-es", "opt": ["target=ts"], "out": "typescript"},
    ]
    if shutil.which("protoc-gen-go", path=variables["PATH"]):
        plugins.append({"local": "protoc-gen-go", "opt": ["paths=source_relative"], "out": "go"})
    template = json.dumps({"version": "v2", "plugins": plugins})
    done = subprocess.run(
        [str(found["buf"]), "generate", "--template", template, "--output", str(folder)],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"buf generate ended with {done.returncode}:\n{done.stderr}")
    return {plugin["out"]: folder / plugin["out"] for plugin in plugins}


if __name__ == "__main__":
    made = generate_stubs(Path(sys.argv[1]))
    for language, where in made.items():
        sys.stdout.write(f"{language}: {where}\n")
    if "go" not in made:
        sys.stdout.write(f"go: none. {NO_GO}\n")
