"""Refuses an optional package, or Gymnasium, in a release that is too old."""

from __future__ import annotations

import re

__all__ = ["require_version"]


def require_version(user: str, package: str, installed: object, least: str) -> None:
    """Checks the release of a package that has been imported.

    pip lets one in that does not fit with `--no-deps`, or as the last of several installations.

    Args:
        user: What needs the package, for the message.
        package: The package, as pip calls it.
        installed: Its `__version__`. One that is no text is not checked: Sphinx puts a mock in the
            place of a package.
        least: The oldest release that fits.

    Raises:
        ImportError: If the release is older.
    """
    if isinstance(installed, str) and _numbers(installed) < _numbers(least):
        raise ImportError(
            f"{user} needs {package} {least} or newer, and {installed} is installed; "
            f"pip install '{package}>={least}'"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
