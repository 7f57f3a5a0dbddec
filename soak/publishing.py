"""Where a run goes: into its page, its plot and its raw results."""

from __future__ import annotations

import re
from pathlib import Path

from soak.report import page_block
from soak.results import Run

_DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = _DOCS / "endurance.md"
RESULTS, PLOT = _DOCS / "_static/endurance.json", _DOCS / "_static/endurance.svg"

_BEGIN, _END = "<!-- soak: written by `make soak` -->", "<!-- soak: end -->"
_BLOCK = re.compile(f"{re.escape(_BEGIN)}\n.*?{re.escape(_END)}", re.DOTALL)


def publish(run: Run) -> None:
    """Writes a run into the documentation."""
    from soak.plot import draw

    draw(run, PLOT)
    RESULTS.write_text(run.to_json())
    PAGE.write_text(page(run))


def page(run: Run) -> str:
    """The hand-written page as it is with the run's numbers in it.

    Raises:
        ValueError: If it has not exactly one place for them.
    """
    block = f"{_BEGIN}\n\n{page_block(run)}\n{_END}"
    replaced, count = _BLOCK.subn(lambda _: block, PAGE.read_text())
    if count != 1:
        raise ValueError(f"expected one block between {_BEGIN} and {_END}, found {count}")
    return replaced
