"""Installs each package, serves and drives its environments, and writes the page.

`make compatibility` runs it. Each set of requirements has a virtual environment below `build/`,
which is used again. What does not install is recorded with the reason.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine
from compatibility.packages import PACKAGES, Package
from compatibility.page import PAGE, RESULTS, with_results
from support.repository import ROOT

_FOLDER = Path(__file__).parent
_BUILD = ROOT / "build/compatibility"
_INSTALL_SECONDS = 900
_PROBE_SECONDS = 300


def main() -> int:
    """Records what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="the packages to run; all, if none is named")
    parser.add_argument("--seconds", type=float, default=1.5, help="to measure each rate")
    parser.add_argument("--install-only", action="store_true", help="install, and run nothing")
    asked = parser.parse_args()
    recorded: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rows: dict[str, Any] = recorded.get("environments", {})
    for index, package in enumerate(PACKAGES):
        if asked.names and package.name not in asked.names:
            continue
        sys.stderr.write(f"{package.name}: {package.environment}\n")
        python = _BUILD / _key(package) / "bin/python"
        reason = _installed(package, python)
        if not asked.install_only:
            row = {"reason": reason} if reason else _probed(index, package, python, asked.seconds)
            rows[package.environment] = {"package": package.name, **row}
            sys.stderr.write(f"  {row}\n")
    if not asked.install_only:
        here = Machine.here()
        machine = f"{here.cores} cores of {here.cpu}, {here.system}, {here.python}"
        # In the order of the list, whatever was run again.
        rows = {
            each.environment: rows[each.environment]
            for each in PACKAGES
            if each.environment in rows
        }
        RESULTS.write_text(json.dumps({"machine": machine, "environments": rows}, indent=1) + "\n")
        PAGE.write_text(with_results(PAGE.read_text(), json.loads(RESULTS.read_text())))
    return 0


def _key(package: Package) -> str:
    text = " ".join(package.requires)
    return f"{package.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _installed(package: Package, python: Path) -> str:
    """Installs a package with RLMesh; why it does not install, or nothing."""
    stamp = python.parents[1] / "installed"
    if stamp.exists():
        return ""
    venv.create(python.parents[1], clear=True, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    extra = "[pettingzoo]" if package.kind == "agents" else ""
    command += ["--editable", f"{ROOT}{extra}", *package.requires]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"pip took longer than {_INSTALL_SECONDS} seconds"
    if done.returncode:
        return _reason(done.stderr)
    stamp.touch()
    return ""


def _probed(index: int, package: Package, python: Path, seconds: float) -> dict[str, Any]:
    """What `probe.py` finds, with the version of the package; or why it finds nothing."""
    version = _output([str(python), "-c", _VERSION, package.name]).strip()
    try:
        done = subprocess.run(
            [str(python), str(_FOLDER / "probe.py"), str(index), str(seconds)],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
            cwd=_FOLDER,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        return {"version": version, "reason": f"it took longer than {_PROBE_SECONDS} seconds"}
    if done.returncode:
        sys.stderr.write(done.stderr)
        return {"version": version, "reason": _reason(done.stderr)}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"version": version, **found}


_VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


def _environment() -> dict[str, str]:
    # No window opens, and MuJoCo needs no display.
    return {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "SDL_VIDEODRIVER": "dummy"}


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _reason(text: str) -> str:
    """The last line of an error that says something."""
    lines = [line.strip() for line in text.splitlines() if "error" in line.lower()]
    return (lines or text.splitlines() or ["nothing was printed"])[-1][:300]


if __name__ == "__main__":
    sys.exit(main())
