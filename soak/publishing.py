"""Where a run goes: into its page, its plot and its raw results."""

from __future__ import annotations

import re
from pathlib import Path

from soak.report import page_block
from soak.results import Run
from soak.watched import Watched

_DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = _DOCS / "endurance.md"
RESULTS, PLOT = _DOCS / "_static/endurance.json", _DOCS / "_static/endurance.svg"

WATCHED = _DOCS / "_static/watched.json"

_BEGIN, _END = "<!-- soak: written by `make soak` -->", "<!-- soak: end -->"
_BEGIN_WATCHED = "<!-- watched: written by `python -m soak.watching --publish` -->"
_END_WATCHED = "<!-- watched: end -->"


def publish(run: Run) -> None:
    """Writes a run into the documentation."""
    from soak.plot import draw

    draw(run, PLOT)
    RESULTS.write_text(run.to_json())
    PAGE.write_text(page(run))


def publish_watched(run: Watched) -> None:
    """Writes a run in which somebody watched into the documentation."""
    WATCHED.write_text(run.to_json())
    PAGE.write_text(page_watched(run))


def page(run: Run) -> str:
    """The hand-written page as it is with the run's numbers in it.

    Raises:
        ValueError: If it has not exactly one place for them.
    """
    return _page(_BEGIN, page_block(run), _END)


def page_watched(run: Watched) -> str:
    """The same with the numbers of a run in which somebody watched; see `page`."""
    return _page(_BEGIN_WATCHED, run.page_block(), _END_WATCHED)


def _page(begin: str, block: str, end: str) -> str:
    place = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    replaced, count = place.subn(lambda _: f"{begin}\n\n{block}\n{end}", PAGE.read_text())
    if count != 1:
        raise ValueError(f"expected one block between {begin} and {end}, found {count}")
    return replaced
