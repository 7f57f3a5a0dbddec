"""Puts the stability label of each export above its docstring in the API reference.

The labels come from api_metadata.json. A class, exception or function carries its own label; a
member carries one where it is less stable than its class.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

_METADATA = Path(__file__).resolve().parents[2] / "api_metadata.json"


def labels(metadata: dict[str, Any]) -> dict[str, str]:
    """The label of every export that is no alias, and of every member with another one.

    Args:
        metadata: The content of api_metadata.json.

    Returns:
        The labels by full name, `rlmesh.RemoteEnv.stats`.
    """
    found: dict[str, str] = {}
    for module in metadata["modules"]:
        for export in module["exports"]:
            if "alias_of" in export:
                continue
            name = f"{module['name']}.{export['name']}"
            found[name] = export["stability"]
            for member in export.get("experimental", ()):
                found[f"{name}.{member}"] = "Experimental"
    return found


def badge(label: str) -> list[str]:
    """The lines of reStructuredText that show a label."""
    word = label.lower().replace(" ", "-")
    return [
        ".. raw:: html",
        "",
        f'   <p><span class="stability stability-{word}">{label}</span></p>',
        "",
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this when it loads the extension."""
    known = labels(json.loads(_METADATA.read_text(encoding="utf-8")))

    def add_badge(
        app: Sphinx, kind: str, name: str, documented: Any, options: Any, lines: list[str]
    ) -> None:
        if name in known:
            lines[:0] = badge(known[name])

    def skip_field(
        app: Sphinx, kind: str, name: str, member: Any, skip: bool, options: Any
    ) -> bool | None:
        # The docstring of the named tuple says what a field is; this one only counts.
        return True if str(member.__doc__).startswith("Alias for field number") else None

    app.connect("autodoc-process-docstring", add_badge)
    app.connect("autodoc-skip-member", skip_field)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
