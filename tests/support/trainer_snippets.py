"""The snippets of the page "With your trainer", which need the packages of trainers."""

from __future__ import annotations

import gc
import re
from typing import Any

from support.repository import ROOT

_SNIPPET = re.compile(
    r"(?:^<!-- snippet: skip, tests/(\w+/test_\w+)\.py [^\n]* -->\n)?^```python\n(.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def run_snippets(module: str) -> int:
    """Runs the snippets that are marked for a module of tests, between those without a mark.

    They run in their order and in one namespace.

    Args:
        module: The module, as in `trainers/test_page`.

    Returns:
        How many marked ones ran.
    """
    page = (ROOT / "docs" / "trainers.md").read_text()
    found = _SNIPPET.findall(page)
    assert len(found) == page.count("```python")
    names: dict[str, Any] = {"__name__": "page"}
    try:
        for mark, snippet in found:
            if mark in ("", module):
                exec(compile(snippet, "docs/trainers.md", "exec"), names)  # noqa: S102 # of this repository
    finally:
        for server in ("single", "several"):
            if server in names:
                names[server].shutdown()
        names.clear()
        # What Minari leaves behind, while the test ignores its warnings.
        gc.collect()
    return sum(mark == module for mark, _ in found)
