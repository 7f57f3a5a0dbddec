"""The plot: the median of a step of every contender, a panel for each workload."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.contenders.catalogue import CONTENDERS, Group
from benchmarks.results import Run, Spread, Turns
from benchmarks.workloads import WORKLOADS

_COLOURS: dict[Group, tuple[str, str]] = {
    "local": ("#57606a", "the environment in the same process"),
    "rlmesh": ("#1f6feb", "RLMesh"),
    "other": ("#bf8700", "what is used otherwise"),
    "floor": ("#b1bac4", "floors"),
}
_COLUMNS, _PANEL_INCHES, _BAR_INCHES, _TITLE_INCHES = 3, 4.8, 0.19, 0.6
# Text stays text, and the same run gives the same file.
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rlmesh",
    "font.family": "sans-serif",
    "font.size": 8,
}


def draw(run: Run, path: Path) -> None:
    """Writes the plot as SVG."""
    rows = max(1, -(-len(run.turns) // _COLUMNS))
    bars = max((len(known) for known in run.turns.values()), default=1)
    height = rows * (_TITLE_INCHES + bars * _BAR_INCHES) + _TITLE_INCHES
    with rc_context(_STYLE):
        figure = Figure(figsize=(_COLUMNS * _PANEL_INCHES, height), layout="constrained")
        for place, (workload, known) in enumerate(run.turns.items(), 1):
            axes = figure.add_subplot(rows, _COLUMNS, place)
            axes.set_title(WORKLOADS[workload].title, loc="left", fontweight="bold")
            _panel(axes, known)
        figure.legend(
            handles=[Patch(color=colour, label=text) for colour, text in _COLOURS.values()],
            loc="outside upper left",
            ncols=len(_COLOURS),
            frameon=False,
        )
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": "One remote step"})


def _panel(axes: Axes, known: dict[str, Turns]) -> None:
    """A dot for each contender, on a line from the least round to the greatest."""
    shown = [(CONTENDERS[key], Spread.of(turn.p50 for turn in known[key])) for key in known]
    places = range(len(shown))
    colours = [_COLOURS[contender.group][0] for contender, _ in shown]
    lows, highs = [spread.low for _, spread in shown], [spread.high for _, spread in shown]
    axes.hlines(places, lows, highs, colors=colours)
    axes.scatter([spread.median for _, spread in shown], places, c=colours)
    for place, (_, spread) in zip(places, shown, strict=True):
        axes.annotate(
            f"{spread.median:.3g}" if spread.median < 1000 else f"{spread.median:,.0f}",
            (spread.high, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_xscale("log")
    axes.set_xlim(min(lows, default=1.0) / 2, max(highs, default=1.0) * 5)
    axes.minorticks_off()
    axes.set_yticks(places, [contender.title for contender, _ in shown])
    axes.set_xlabel("µs, median of a step")
    axes.grid(axis="y", color="#d0d7de", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
