"""What the fuzzer has found and is fed again: a folder for each target, a file for each input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fuzz.target import Target

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "fuzz" / "corpus"


def inputs(target: Target) -> Iterator[tuple[str, bytes]]:
    """What a target is fed with before any mutation: real traffic, then what was found."""
    for number, seed in enumerate(target.seeds()):
        yield f"seed {number}", seed
    for path in sorted((CORPUS / target.name).glob("*")):
        yield str(path.relative_to(ROOT)), path.read_bytes()
