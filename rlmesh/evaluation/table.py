"""An evaluation as a table for people, by rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlmesh.evaluation.summary import Summary
from rlmesh.foreign_text import one_line

if TYPE_CHECKING:
    from rich.table import Table


def table_of(rows: Sequence[Summary], policy: str, latency: str | float) -> Table:
    """A table with a row for each of these.

    Args:
        rows: How the policy did in each task. A row without a name is called `all`.
        policy: What the policy is called.
        latency: How long the world waited for it.
    """
    from rich.table import Table
    from rich.text import Text

    waits = f"the world goes on for {latency} s" if isinstance(latency, float) else f"{latency}"
    table = Table(
        title=Text(one_line(policy)),
        caption=Text(f"95 % intervals; latency: {waits}"),
        caption_justify="left",
        title_justify="left",
    )
    table.add_column("task", overflow="fold")
    for name in ("episodes", "errors", "return", "length", "success", "env/step", "policy/step"):
        table.add_column(name, justify="right")
    held = any(each.held_steps for each in rows)
    if held:
        table.add_column("held", justify="right")
    for each in rows:
        cells = [
            one_line(each.task) or "all",
            f"{each.episodes}",
            f"{each.errors}",
            return_text(each),
            f"{each.mean_length:.1f}",
            success_text(each),
            _milliseconds(each.env_step_seconds),
            _milliseconds(each.policy_step_seconds),
            *([f"{each.held_steps}"] if held else []),
        ]
        table.add_row(*map(Text, cells))
    return table


def return_text(summary: Summary) -> str:
    """The mean return, with its interval."""
    if not summary.episodes:
        return "-"
    low, high = summary.return_interval
    return f"{summary.mean_return:.4g} [{low:.4g}, {high:.4g}]"


def success_text(summary: Summary) -> str:
    """The success rate, with its interval, in percent."""
    if summary.success_rate is None or summary.success_interval is None:
        return "unknown"
    unknown = summary.episodes - summary.judged
    rest = f", {unknown} unknown" if unknown else ""
    low, high = (end * 100 for end in summary.success_interval)
    return f"{summary.success_rate:.1%} [{low:.1f}, {high:.1f}]{rest}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
