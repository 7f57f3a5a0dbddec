"""The page of what was run: its table, made from the committed results."""

from __future__ import annotations

import re
from typing import Any

from compatibility.packages import PACKAGES
from support.repository import ROOT

PAGE = ROOT / "docs/compatibility.md"
RESULTS = ROOT / "docs/_static/compatibility.json"

_BEGIN, _END = (
    "<!-- compatibility: written by `make compatibility` -->",
    "<!-- compatibility: end -->",
)
_BLOCK = re.compile(f"{re.escape(_BEGIN)}\n.*?{re.escape(_END)}", re.DOTALL)
_UNSEEDED = {package.environment: package.unseeded for package in PACKAGES if package.unseeded}
_AS_TEXT = {package.environment: package.as_text for package in PACKAGES if package.as_text}
_RATES = ("in-process", "shm", "direct", "grpc")


def with_results(text: str, results: dict[str, Any]) -> str:
    """The page with other results in it.

    Raises:
        ValueError: If it has not exactly one place for them.
    """
    missing = [
        each.environment for each in PACKAGES if each.environment not in results["environments"]
    ]
    block = f"{_BEGIN}\n\n{table(results)}{_unknown(missing)}\n{_END}"
    replaced, count = _BLOCK.subn(lambda _: block, text)
    if count != 1:
        raise ValueError(f"expected one block between {_BEGIN} and {_END}, found {count}")
    return replaced


def table(results: dict[str, Any]) -> str:
    """The tables of the environments and of the frames, and what was not equal or not run."""
    lines = [
        f"Run on {results['machine']}, which had other work meanwhile. Rates are steps a second.",
        "",
        "| Package | Version | Environment | Steps | Equal | " + " | ".join(_RATES) + " |",
        "|---|---|---|---:|---|" + "---:|" * len(_RATES),
    ]
    notes: list[str] = []
    for environment, row in results["environments"].items():
        if "reason" in row:
            notes.append(f"- `{environment}` of {row['package']} was not run: `{row['reason']}`")
            continue
        rates = " | ".join(_rate(row["rates"][name]) for name in _RATES)
        equal = "no" if row["differences"] else "but infos" if row["infos"] else "yes"
        lines.append(
            f"| {row['package']} | {row['version']} | `{environment}` | {row['steps']} | {equal} "
            f"| {rates} |"
        )
        for kind in ("differences", "infos"):
            # It is mostly the same over each transport.
            lines_of_kind = sorted(set(row[kind].values()))
            notes += [f"- `{environment}`, {kind}: `{line}`" for line in lines_of_kind]
        if environment in _UNSEEDED:
            notes.append(
                f"- `{environment}`: the info of a reset has {_keys(_UNSEEDED[environment])} from "
                f"a generator that no seed reaches, which is not compared"
            )
        if environment in _AS_TEXT:
            notes.append(
                f"- `{environment}`: infos have objects of the package under "
                f"{_keys(_AS_TEXT[environment])}, which arrive as their text"
            )
    lines += ["", *notes, ""] if notes else [""]
    return "\n".join([*lines, *_frames(results["renderings"])])


def _keys(keys: tuple[str, ...]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _unknown(missing: list[str]) -> str:
    if not missing:
        return ""
    names = ", ".join(f"`{name}`" for name in missing)
    return (
        f"\n`make compatibility` also knows these, whose results are not recorded yet: {names}.\n"
    )


def _frames(renderings: dict[str, Any]) -> list[str]:
    lines = [
        "Frames of environments that render without a display, as a client gets them:",
        "",
        "| Package | Environment | Drawn by | Frame | Equal | Frames a second |",
        "|---|---|---|---|---|---:|",
    ]
    notes: list[str] = []
    for row in renderings.values():
        environment, backend = f"`{row['environment']}`", row["backend"]
        if "reason" in row:
            notes.append(f"- {environment} with {backend} was not run: `{row['reason']}`")
            continue
        frame = f"{' × '.join(map(str, row['shape']))}, {row['dtype']}"
        equal = "no" if row["differences"] else "yes"
        lines.append(
            f"| {row['package']} | {environment} | {backend} | {frame} | {equal} "
            f"| {_rate(row['rate'])} |"
        )
        if row["differences"]:
            notes.append(f"- {environment} with {backend}: `{row['differences']}`")
    return [*lines, "", *notes, ""] if notes else [*lines, ""]
