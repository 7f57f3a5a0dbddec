"""Installs the libraries of peers, each in its own virtual environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.models.catalogue import Contender

_STAMP = ".installed"
_PIP_SECONDS = 900.0


class NotInstalledError(Exception):
    """A library that cannot be installed here, and why."""


def install(folder: Path, contenders: Iterable[Contender]) -> tuple[dict[str, str], dict[str, str]]:
    """Installs what is not there yet.

    Args:
        folder: Where the virtual environments stand, or are made.
        contenders: The contenders; those of RLMesh need none.

    Returns:
        The interpreter of each that is there, and why another one is not.
    """
    interpreters: dict[str, str] = {}
    absent: dict[str, str] = {}
    for contender in contenders:
        if not contender.package:
            continue
        try:
            interpreters[contender.key] = _installed(folder / contender.key, contender.package)
        except NotInstalledError as error:
            absent[contender.key] = str(error)
    return interpreters, absent


def _installed(venv: Path, package: str) -> str:
    """The interpreter of a virtual environment that has a package, and NumPy."""
    requirement = f"{package} numpy"
    stamp, interpreter = venv / _STAMP, str(venv / "bin" / "python")
    if stamp.exists() and stamp.read_text() == requirement:
        return interpreter
    pip = [interpreter, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _run([sys.executable, "-m", "venv", str(venv)], requirement)
    _run([*pip, "install", "--quiet", *requirement.split()], requirement)
    stamp.write_text(requirement)
    return interpreter


def _run(command: list[str], requirement: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PIP_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"{requirement}: no end within {_PIP_SECONDS:g} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise NotInstalledError(f"{requirement} cannot be installed: {last:.200}")
