"""A run in words, for the documentation."""

from __future__ import annotations

from soak.results import LIMITS, MEMORY, Growth, Run


def page_block(run: Run) -> str:
    """What the page says of a run, as Markdown."""
    machine, counts = run.machine, run.counts
    summary = (
        f"{counts.steps:,} steps, {counts.resets:,} resets, {counts.sessions:,} sessions and "
        f"{counts.cuts:,} cut connections in {run.seconds / 60:.0f} minutes, on {machine.cores} "
        f"cores of {machine.cpu}, {machine.system}, {machine.python}. Every observation, reward "
        f"and flag was that of the local twin."
    )
    lines = [
        summary,
        "",
        "| Over the second half | In the middle | At the end | Fitted rise | Limit | Flat |",
        "|----------------------|--------------:|-----------:|------------:|------:|------|",
    ]
    lines += [_row(growth) for growth in run.growths()]
    return "\n".join([*lines, ""])


def _row(growth: Growth) -> str:
    cells = [
        f"{growth.process}: {growth.what}",
        _shown(growth.what, growth.first),
        _shown(growth.what, growth.last),
        _shown(growth.what, growth.grown, sign="+"),
        _shown(growth.what, LIMITS[growth.what]),
        "yes" if growth.flat else "no",
    ]
    return f"| {' | '.join(cells)} |"


def _shown(what: str, value: float, sign: str = "") -> str:
    if what == MEMORY:
        return f"{value / 2**20:{sign}.2f} MiB"
    return f"{value:{sign}.2f}".removesuffix(".00")
