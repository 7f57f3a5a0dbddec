"""Places in a tree of spaces, as messages name them: `$.arm[1]`."""

from __future__ import annotations

import json

__all__ = ["ROOT", "child_place"]

ROOT = "$"


def child_place(place: str, key: str | int) -> str:
    """The place of a child: `$.arm`, `$["two words"]`, `$[1]`."""
    if isinstance(key, int):
        return f"{place}[{key}]"
    return f"{place}.{key}" if key.isidentifier() else f"{place}[{json.dumps(key)}]"
