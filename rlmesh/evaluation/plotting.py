"""An evaluation as a picture, by matplotlib."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.evaluation.intervals import Interval
from rlmesh.evaluation.summary import Summary


def check_format(path: str | os.PathLike[str]) -> None:
    """Checks that matplotlib can draw into a file of that name.

    Args:
        path: The file.

    Raises:
        StateError: If matplotlib is not installed.
        InvalidArgumentError: If it knows no such format.
    """
    known = set(_figure().canvas.get_supported_filetypes())
    if Path(path).suffix.removeprefix(".").lower() not in known:
        raise InvalidArgumentError(
            f"{os.fspath(path)} names no format of a picture; end it with one of "
            f"{', '.join(sorted(known))}, after a dot"
        )


def _figure(**given: Any) -> Any:
    try:
        # Not pyplot, which would look for a display and keep the figure.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise StateError(
            "plot needs matplotlib, which is not installed; install it with "
            "pip install 'rlmesh[evaluate]'"
        ) from error
    make: Any = Figure
    return make(**given)


def plot(rows: Sequence[Summary], policy: str, path: str | os.PathLike[str]) -> None:
    """Draws means and rates with their intervals into a file.

    Args:
        rows: How the policy did in each task.
        policy: What the policy is called.
        path: The file.

    Raises:
        StateError: If matplotlib is not installed.
        InvalidArgumentError: If it knows no such format.
        OSError: If the file cannot be written.
    """
    check_format(path)
    judged = any(each.success_rate is not None for each in rows)
    figure = _figure(figsize=(4 + 4 * judged, 1.5 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 1 + judged, sharey=True, squeeze=False)[0]
    names = [each.task or "all" for each in rows]
    # A "$" in a foreign name would begin a formula.
    figure.suptitle(policy.replace("$", r"\$"))
    _draw(axes[0], names, [(each.mean_return, each.return_interval) for each in rows])
    axes[0].set_xlabel("mean return, 95 % interval")
    if judged:
        rates = [
            None
            if each.success_rate is None or each.success_interval is None
            else (each.success_rate, each.success_interval)
            for each in rows
        ]
        _draw(axes[1], names, rates)
        axes[1].set_xlabel("success rate, 95 % interval")
        axes[1].set_xlim(0, 1)
    figure.savefig(path)


def _draw(axis: Any, names: Sequence[str], rows: Sequence[tuple[float, Interval] | None]) -> None:
    for place, row in enumerate(rows):
        if row is not None:
            middle, (low, high) = row
            # The interval need not hold the mean exactly in its middle.
            axis.hlines(place, low, high, color="C0")
            # A rate of 1 stands on the border.
            axis.plot([middle], [place], "o", color="C0", clip_on=False)
    axis.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names])
    # The first task stands at the top.
    axis.set_ylim(len(names) - 0.5, -0.5)
