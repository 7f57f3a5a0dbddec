"""The plot: what both processes held over the steps of a run."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from soak.results import DESCRIPTORS, MEMORY, THREADS, Run

_COLOURS = {"client": "#1f6feb", "server": "#bf8700"}
_TITLES = {MEMORY: "Memory, MiB", THREADS: "Threads", DESCRIPTORS: "Descriptors"}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rlmesh",
    "font.family": "sans-serif",
    "font.size": 8,
}


def draw(run: Run, path: Path) -> None:
    """Writes the plot as SVG."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(10, 2.8), layout="constrained")
        for place, (what, title) in enumerate(_TITLES.items(), 1):
            axes = figure.add_subplot(1, len(_TITLES), place)
            axes.set_title(title, loc="left", fontweight="bold")
            unit = 2**20 if what == MEMORY else 1
            for process, samples in run.samples.items():
                values = [getattr(sample, what) / unit for sample in samples]
                axes.plot(run.steps, values, color=_COLOURS[process], label=process)
            axes.set_ylim(0)
            axes.set_xlabel("steps")
            axes.grid(axis="y", color="#d0d7de", linewidth=0.5)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, loc="lower right")
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": "A million steps"})
