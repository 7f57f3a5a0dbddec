"""The tables of a run, and the page that has them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.models.catalogue import CONTENDERS
from benchmarks.models.results import CROWD, LONE, ModelRun, verdicts
from benchmarks.publishing import with_block
from benchmarks.results import Spread

_ROOT = Path(__file__).resolve().parents[2]
PAGE = _ROOT / "docs/model-performance.md"
RESULTS = _ROOT / "docs/_static/model-performance.json"


def page(run: ModelRun) -> str:
    """The page as it is with the run's numbers in it."""
    return with_block(PAGE.read_text(), block(run))


def publish(run: ModelRun) -> None:
    """Writes the run's numbers into the page, and the raw results beside it."""
    RESULTS.write_text(run.to_json())
    PAGE.write_text(page(run))


def block(run: ModelRun) -> str:
    """The tables."""
    machine = run.machine
    where = f"{machine.cpu}, {machine.cores} cores, {machine.system}, {machine.python}"
    parts = [
        f"{run.rounds} rounds of {run.seconds:g} s each, on {where}. In brackets: least, greatest.",
        "## Bars",
        _table(
            ("What", "Bar", "Measured", "Met"),
            (
                (each.text, each.bar, each.measured, "yes" if each.met else "**no**")
                for each in verdicts(run)
            ),
        ),
        "## One client, a model that does nothing",
        _measured(run, LONE, ("p50", "p99"), ("p50, µs", "p99, µs")),
        "## Sixteen clients, a model of 20 ms and 0.5 ms for each observation",
        _measured(run, CROWD, ("rate", "p50"), ("Answers per second", "p50, µs")),
        "## Contenders",
        _table(("Contender", "Set up"), ((each.title, each.setup) for each in CONTENDERS.values())),
    ]
    missing = {
        f"{CONTENDERS[key].title}: {why}"
        for absent in run.absent.values()
        for key, why in absent.items()
    }
    if missing:
        parts.append("Missing: " + "; ".join(sorted(missing)) + ".")
    return "\n\n".join(parts) + "\n"


def _measured(run: ModelRun, workload: str, names: Iterable[str], titles: Iterable[str]) -> str:
    if not run.turns.get(workload):
        return "Not measured in this run."
    return _table(("Contender", *titles), _rows(run, workload, names))


def _rows(run: ModelRun, workload: str, names: Iterable[str]) -> Iterable[tuple[str, ...]]:
    found = run.turns.get(workload, {})
    for key, turns in ((key, found[key]) for key in CONTENDERS if key in found):
        spreads = [Spread.of(turn[name] for turn in turns) for name in names]
        yield (
            CONTENDERS[key].title,
            *(f"{each.median:,.0f} ({each.low:,.0f} to {each.high:,.0f})" for each in spreads),
        )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
