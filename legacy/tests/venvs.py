"""`python venvs.py 3.7 3.9`: an environment with the wheel for each of these versions of Python.

They stand in `.venv-legacy-VERSION` of the repository. A version that this machine does not have is
reported and left out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_LEGACY = Path(__file__).resolve().parents[1]
_ROOT = _LEGACY.parent
_PYENV = Path.home() / ".pyenv" / "versions"
# Old Gym on the oldest, where a simulator still has it; elsewhere what pip finds.
_LIBRARY = {"3.7": "gym==0.26.2"}


def main(versions: list[str]) -> None:
    """Makes the environments, or brings the wheel in them up to date."""
    for version in versions:
        target = _ROOT / f".venv-legacy-{version}"
        stamp = target / ".installed"
        python = interpreter(version)
        if python is None:
            print(f"Skipped: no Python {version} in {_PYENV} or on PATH.")
            continue
        pip = [str(target / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
        if not stamp.exists():
            _run([python, "-m", "venv", "--clear", str(target)])
            # The one that came with it may know neither today's wheels nor pyproject.toml.
            _run([*pip, "install", "--upgrade", "pip"])
            _run([*pip, "install", str(_LEGACY), _LIBRARY.get(version, "gymnasium")])
            stamp.touch()
        else:
            _run([*pip, "install", "--no-deps", "--force-reinstall", str(_LEGACY)])


def interpreter(version: str) -> str | None:
    """The newest interpreter of a version; None where there is none."""
    found = [path / "bin" / "python" for path in _PYENV.glob(f"{version}.*")]
    found = sorted(path for path in found if path.exists())
    return str(found[-1]) if found else shutil.which(f"python{version}")


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd=str(_ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
