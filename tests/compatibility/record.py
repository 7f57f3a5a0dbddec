"""Installs each package, serves and drives its environments, and writes the page.

`make compatibility` runs it. Packages with the same requirements share a virtual environment below
`build/`, which is used again. What does not install or run is recorded with the reason.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine
from compatibility.packages import PACKAGES, RENDERINGS, Package
from compatibility.page import PAGE, RESULTS, with_results
from support.repository import ROOT

_FOLDER = Path(__file__).parent
_BUILD = ROOT / "build/compatibility"
_INSTALL_SECONDS = 900
_PROBE_SECONDS = 900


def main() -> int:
    """Records what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="the packages to run; all, if none is named")
    parser.add_argument("--seconds", type=float, default=1.5, help="to measure each rate")
    parser.add_argument("--install-only", action="store_true", help="install, and run nothing")
    asked = parser.parse_args()
    for index, package in enumerate(PACKAGES):
        if not asked.names or package.name in asked.names:
            row = _row(package, ["steps", str(index)], asked)
            _write(asked, {package.environment: row}, {})
    for index, rendering in enumerate(RENDERINGS):
        if not asked.names or rendering.package.name in asked.names:
            row = _row(rendering.package, ["frames", str(index)], asked)
            _write(asked, {}, {rendering.name: {"backend": rendering.backend, **row}})
    return 0


def _row(package: Package, what: list[str], asked: argparse.Namespace) -> dict[str, Any]:
    """What is recorded of an environment."""
    sys.stderr.write(f"{package.name}: {what[0]} of {package.environment}\n")
    python = _BUILD / _key(package) / "bin/python"
    reason = _installed(package.requires, package.alone, python)
    row: dict[str, Any] = {"package": package.name, "environment": package.env}
    if reason or asked.install_only:
        row["reason"] = reason
    else:
        row |= _probed(package, python, [*what, str(asked.seconds)])
    sys.stderr.write(f"  {row}\n")
    return row


def _write(
    asked: argparse.Namespace, environments: dict[str, Any], renderings: dict[str, Any]
) -> None:
    """Writes these results beside the earlier ones, in the order of the lists, and the page."""
    if asked.install_only:
        return
    here = Machine.here()
    before: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    environments = {**before.get("environments", {}), **environments}
    renderings = {**before.get("renderings", {}), **renderings}
    results = {
        "machine": f"{here.cores} cores of {here.cpu}, {here.system}, {here.python}",
        "environments": _known(environments, [each.environment for each in PACKAGES]),
        "renderings": _known(renderings, [each.name for each in RENDERINGS]),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(with_results(PAGE.read_text(), results))


def _known(rows: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: rows[name] for name in names if name in rows}


def _key(package: Package) -> str:
    text = " ".join([*package.requires, *package.alone])
    readable = re.sub(r"\W+", "-", package.requires[0]).strip("-")
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@functools.cache
def _installed(requires: tuple[str, ...], alone: tuple[str, ...], python: Path) -> str:
    """Installs packages with RLMesh; why they do not install, or nothing."""
    stamp = python.parents[1] / "installed"
    if stamp.exists():
        return ""
    venv.create(python.parents[1], clear=True, with_pip=True)
    reason = _pip(python, ["--editable", str(ROOT), *requires])
    if not reason and alone:
        reason = _pip(python, ["--no-deps", *alone])
    if not reason:
        stamp.touch()
    return reason


def _pip(python: Path, arguments: list[str]) -> str:
    """Installs something; why that fails, or nothing."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"pip took longer than {_INSTALL_SECONDS} seconds"
    if done.returncode:
        sys.stderr.write(done.stderr)
        return _reason(done.stderr)
    return ""


def _probed(package: Package, python: Path, arguments: list[str]) -> dict[str, Any]:
    """What `probe.py` finds, with the version of the package; or why it finds nothing."""
    version = _output([str(python), "-c", _VERSION, package.name]).strip()
    with subprocess.Popen(
        [str(python), str(_FOLDER / "probe.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_BUILD,  # MuJoCo writes its log where it runs
        env=_environment(package),
        start_new_session=True,
    ) as process:
        try:
            printed, complaints = process.communicate(timeout=_PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the server that it has started, too
            return {"version": version, "reason": f"it took longer than {_PROBE_SECONDS} seconds"}
    if process.returncode:
        sys.stderr.write(complaints)
        return {"version": version, "reason": _reason(complaints)}
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return {"version": version, **found}


_VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


def _environment(package: Package) -> dict[str, str]:
    """The variables of the processes: there is no display, and no window opens."""
    inherited = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    paths = {"PYTHONPATH": str(ROOT / "tests"), "SDL_VIDEODRIVER": "dummy"}
    return {**inherited, **paths, **package.variables}


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _reason(text: str) -> str:
    """The line of an error that says most: that of a server, or the last one."""
    lines = [line.strip() for line in text.splitlines() if "error" in line.lower()]
    served = [line for line in lines if line.startswith("Error: ")]
    return (served or lines or text.splitlines() or ["nothing was printed"])[-1][:300]


if __name__ == "__main__":
    sys.exit(main())
