"""What `docs/capacity.md` shows: tables and a plot, made of the raw results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.capacity.measuring import FLEETS, OBSERVATIONS, TRANSPORTS, Measured
from benchmarks.capacity.model import Costs, costs_of, most_steps, needed, simulate

_ROOT = Path(__file__).resolve().parents[2]
PAGE = _ROOT / "docs/capacity.md"
RESULTS, PLOT = _ROOT / "docs/_static/capacity.json", _ROOT / "docs/_static/capacity.svg"

RATES = (10_000, 100_000, 1_000_000)
SIZES = (16, 64, 256, 1_024, 10_000, 100_000)
ENVS_PER_SERVER = 16
_NETWORKED = ("direct", "grpc")
_COLOURS = ("#1f6feb", "#bf8700", "#57606a")


def to_json(machine: str, measured: Sequence[Measured]) -> str:
    """The raw results as they are kept."""
    rows = [asdict(each) for each in measured]
    return json.dumps({"machine": machine, "measured": rows}, indent=1) + "\n"


def from_json(text: str) -> tuple[str, list[Measured]]:
    """The machine and what was measured on it."""
    read = json.loads(text)
    return read["machine"], [Measured(**row) for row in read["measured"]]


def block(machine: str, measured: Sequence[Measured]) -> str:
    """The tables of the page."""
    fleets = ", ".join(map(str, FLEETS))
    measured_so = (
        f"On {machine}. Measured: fleets of {fleets} environments of one server process, whose own "
        f"work is next to nothing."
    )
    simulated_so = (
        f"Simulated from it: one trainer that steps all environments together, {ENVS_PER_SERVER} "
        f"of each server, in steps a second. Beyond {max(FLEETS)} environments nothing was "
        f"measured."
    )
    parts = [
        measured_so,
        _costs_table(measured),
        "Calculated from it: what a number of steps a second needs.",
        _needs_table(measured),
        simulated_so,
        _sizes_table(measured),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(measured: Sequence[Measured]) -> list[tuple[str, str, Costs]]:
    return [
        (observation, transport, costs_of(measured, observation, transport))
        for observation in OBSERVATIONS
        for transport in TRANSPORTS
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _costs_table(measured: Sequence[Measured]) -> str:
    heads = ["Observation", "Transport", "Client, µs of a core", "Server, µs of a core", "Bytes"]
    return _table(
        [*heads, "Steps a second of one trainer, at most"],
        [
            [
                OBSERVATIONS[observation],
                transport,
                _number(costs.client_seconds * 1e6),
                _number(costs.server_seconds * 1e6),
                f"{costs.nbytes:,}",
                _number(most_steps(costs)),
            ]
            for observation, transport, costs in _rows(measured)
        ],
    )


def _needs_table(measured: Sequence[Measured]) -> str:
    heads = ["Observation", "Transport", "Steps a second", "Cores of servers", "Trainers"]
    rows: list[list[str]] = []
    for observation, transport, costs in _rows(measured):
        # Shared memory ends with the machine.
        for rate in RATES if transport in _NETWORKED else RATES[:1]:
            need = needed(costs, rate)
            gbit = _number(need.gbit_per_second)
            line = f"{gbit} Gbit/s" if transport in _NETWORKED else "none"
            rows.append(
                [
                    OBSERVATIONS[observation],
                    transport,
                    f"{rate:,}",
                    _number(need.server_cores),
                    f"{need.trainers:,}",
                    line,
                ]
            )
    return _table([*heads, "Network"], rows)


def _sizes_table(measured: Sequence[Measured]) -> str:
    heads = ["Observation", "Transport", *(f"{size:,}" for size in SIZES)]
    return _table(
        heads,
        [
            [
                OBSERVATIONS[observation],
                transport,
                *(_number(rate) for rate in rates_of(costs)),
            ]
            for observation, transport, costs in _rows(measured)
            if transport in _NETWORKED
        ],
    )


def rates_of(costs: Costs) -> list[float]:
    """The simulated steps a second of one trainer, for each of `SIZES`."""
    return [simulate(costs, size, servers=-(-size // ENVS_PER_SERVER)) for size in SIZES]


def _number(number: float) -> str:
    """A number with two digits that count."""
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def draw(measured: Sequence[Measured], path: Path) -> None:
    """Writes the plot as SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "rlmesh", "font.size": 8}
    with rc_context(style):
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        for place, observation in enumerate(OBSERVATIONS, 1):
            axes = figure.add_subplot(1, len(OBSERVATIONS), place)
            axes.set_title(OBSERVATIONS[observation], loc="left", fontweight="bold")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("environments of one trainer")
            for transport, colour in zip(TRANSPORTS, _COLOURS, strict=True):
                costs = costs_of(measured, observation, transport)
                axes.plot(SIZES, rates_of(costs), label=transport, color=colour)
                points = [
                    each
                    for each in measured
                    if (each.observation, each.transport) == (observation, transport)
                ]
                axes.scatter(
                    [each.envs for each in points],
                    [1 / each.seconds for each in points],
                    color=colour,
                    s=12,
                )
            if place == 1:
                axes.set_ylabel("steps a second")
                axes.legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": "Capacity"})
