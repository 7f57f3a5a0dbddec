"""Where the numbers go: into blocks of hand-written pages, and into files beside them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.report import pages_block, readme_block
from benchmarks.results import Run

_ROOT = Path(__file__).resolve().parents[1]
PAGE, README = _ROOT / "docs/performance.md", _ROOT / "README.md"
RESULTS = _ROOT / "docs/_static/performance.json"
PLOT = _ROOT / "docs/_static/performance.svg"

_BEGIN, _END = "<!-- benchmark: written by `make bench` -->", "<!-- benchmark: end -->"
_BLOCK = re.compile(f"{re.escape(_BEGIN)}\n.*?{re.escape(_END)}", re.DOTALL)


def publish(run: Run) -> None:
    """Writes the run's numbers into the page, the README, the plot and the raw results."""
    results = run.to_json()
    # With the digits that the raw results have.
    run = Run.from_json(results)
    _draw(run, PLOT)
    RESULTS.write_text(results)
    for path, text in pages(run).items():
        path.write_text(text)


def pages(run: Run) -> Mapping[Path, str]:
    """The hand-written pages as they are with the run's numbers in them."""
    blocks = {PAGE: pages_block(run), README: readme_block(run)}
    return {path: with_block(path.read_text(), block) for path, block in blocks.items()}


def with_block(text: str, block: str) -> str:
    """A page with another block in it.

    Raises:
        ValueError: If the page has not exactly one block.
    """
    replaced, count = _BLOCK.subn(lambda _: f"{_BEGIN}\n\n{block}\n{_END}", text)
    if count != 1:
        raise ValueError(f"expected one block between {_BEGIN} and {_END}, found {count}")
    return replaced


def write_to(folder: Path, run: Run) -> None:
    """Writes the tables, the plot and the raw results into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(run.to_json())
    (folder / "tables.md").write_text(pages_block(run))
    try:
        _draw(run, folder / "plot.svg")
    except ModuleNotFoundError as error:
        print(f"No plot: {error.name} is not installed; the extra `bench` has it.", file=sys.stderr)


def _draw(run: Run, path: Path) -> None:
    from benchmarks.plot import draw

    draw(run, path)
