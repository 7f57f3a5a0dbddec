"""What a run brought, as Markdown: the documentation's tables, and the README's short one."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.bars import verdicts
from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.crowd import CORES, PAIRS
from benchmarks.results import Run, Spread, Turns, rate
from benchmarks.workloads import WORKLOADS

_MICROSECONDS, _MEBIBYTE = 1e6, 2**20
# What the README shows: the contenders that a reader chooses from, and a step of each kind.
_SHORT = ("in-process", "shm", "direct", "grpc")
_SHORT_OTHERS = ("async", "zmq-tcp", "websockets", "dm-env-rpc", "ray")
_SHORT_WORKLOADS = {"cartpole": "CartPole", "image-224": "224x224x3 image", "dict": "Dict"}


def pages_block(run: Run) -> str:
    """Everything, for the page of the documentation."""
    parts = [_setting(run), "### Bars\n", _bars(run)]
    parts += [
        part
        for key, known in run.turns.items()
        for part in (f"### {WORKLOADS[key].title}\n", _workload(known))
    ]
    if run.crowd:
        parts += [f"### {PAIRS} pairs on {CORES} cores\n", _crowd(run)]
    parts += ["### Who takes part\n", _contenders()]
    if absences := _absences(run):
        parts += ["### Not available\n", absences]
    return "\n".join(parts)


def readme_block(run: Run) -> str:
    """The median of a step, for the README."""
    columns = {key: title for key, title in _SHORT_WORKLOADS.items() if key in run.turns}
    rows = [
        [CONTENDERS[key].title]
        + [_number(_median_step(turns)) if turns else "-" for turns in all_turns]
        for key in (*_SHORT, *_SHORT_OTHERS)
        if any(all_turns := [run.of(workload, key) for workload in columns])
    ]
    table = _table(["Median of a step, in µs", *columns.values()], rows)
    return f"{table}\nOn {run.machine.cores} cores of {run.machine.cpu}, {run.machine.python}.\n"


def _setting(run: Run) -> str:
    machine = run.machine
    step = f"RLMesh {machine.step}; " if machine.step else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    return (
        f"Measured on {machine.cores} cores of {machine.cpu} with {machine.memory_gib} GiB, "
        f"{machine.system}, {machine.python}; {step}{versions}. {run.rounds} rounds, turns of "
        f"{run.seconds:g} s.\n"
    )


def _bars(run: Run) -> str:
    rows: list[list[str]] = []
    for verdict in verdicts(run):
        sign = "at most" if verdict.bar.at_most else "at least"
        measured = _range(verdict.measured) if verdict.measured else "not measured"
        where = f" ({verdict.where})" if verdict.where else ""
        met = ("yes" if verdict.met else "no") if verdict.measured else "-"
        rows.append([verdict.bar.text, f"{sign} {verdict.bar.limit:g}", f"{measured}{where}", met])
    return _table(["Bar", "Limit", "Measured, the worst", "Met"], rows)


def _workload(known: dict[str, Turns]) -> str:
    shm = known.get("shm")
    rows: list[list[str]] = []
    for key, contender in CONTENDERS.items():
        turns = known.get(key)
        if not turns:
            continue
        rates = Spread.of(map(rate, turns))
        rows.append(
            [
                contender.title,
                _number(rates.median),
                f"±{rates.width:.0%}",
                _number(_median_step(turns)),
                _number(statistics.median(turn.p99 for turn in turns)),
                _number(_median_step(turns) / _median_step(shm)) if shm else "-",
                _pair(
                    statistics.median(turn.client_cpu / turn.steps for turn in turns),
                    statistics.median(turn.server_cpu / turn.steps for turn in turns),
                    _MICROSECONDS,
                ),
                _pair(turns[-1].client_memory, turns[-1].server_memory, 1 / _MEBIBYTE),
            ]
        )
    headings = ["", "steps/s", "spread", "p50 µs", "p99 µs", "to shm"]
    return _table([*headings, "CPU µs, client + server", "MiB, client + server"], rows)


def _contenders() -> str:
    rows = [(contender.title, contender.setup) for contender in CONTENDERS.values()]
    return _table(["Contender", "How it is set up"], rows)


def _absences(run: Run) -> str:
    """Which contenders are missing where, and why; one line for each reason."""
    places: dict[tuple[str, str], list[str]] = {}
    for workload, absent in run.absent.items():
        for key, reason in absent.items():
            places.setdefault((CONTENDERS[key].title, reason), []).append(WORKLOADS[workload].title)
    return "".join(
        f"- {title}: {reason} ({_places(where, len(run.absent))})\n"
        for (title, reason), where in places.items()
    )


def _places(where: Sequence[str], count: int) -> str:
    return ", ".join(where) if len(where) < count else "everywhere"


def _crowd(run: Run) -> str:
    rows: list[list[str]] = []
    for name, shares in run.crowd.items():
        total = Spread.of(one.total for one in shares)
        slowest = _number(Spread.of(one.slowest for one in shares).median)
        rows.append([f"spinning {name}", _number(total.median), f"±{total.width:.0%}", slowest])
    return _table(["", "steps/s, all together", "spread", "the slowest pair"], rows)


def _median_step(turns: Turns) -> float:
    """In microseconds: the median of the rounds' medians."""
    return statistics.median(turn.p50 for turn in turns)


def _number(value: float) -> str:
    """Three digits, and separators where there are more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _pair(client: float, server: float, factor: float) -> str:
    """A figure of both sides; a contender without another process has one."""
    mine = _number(client * factor)
    return f"{mine} + {_number(server * factor)}" if server else mine


def _range(spread: Spread) -> str:
    return f"{spread.median:.3g}, from {spread.low:.3g} to {spread.high:.3g}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table that reads well as text, too: numbers stand to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    right = [column > 0 and _numeric(rows, column) for column in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        )
        return f"| {' | '.join(aligned)} |"

    rule = [
        f"{'-' * (width + 1)}:" if to_right else "-" * (width + 2)
        for width, to_right in zip(widths, right, strict=True)
    ]
    return "\n".join([line(headings), f"|{'|'.join(rule)}|", *map(line, rows), ""])


def _numeric(rows: Sequence[Sequence[str]], column: int) -> bool:
    return all(row[column][:1] in "0123456789±-" for row in rows)
