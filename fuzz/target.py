"""A target: a decoder as the fuzzer feeds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

Feed: TypeAlias = Callable[[bytes], None]
"""Decodes an input. What the decoder's callers catch is caught; anything else passes through."""

Mutate: TypeAlias = Callable[[bytes, Random], bytes | None]
"""Another input that keeps the form of this one; None where this one has none."""


class FindingError(AssertionError):
    """A decoder did what it must not: it took too much, or gave what cannot be."""


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder, and what to feed it with.

    Attributes:
        name: Its name, that of its folder in the corpus.
        says: What is decoded, and on which side.
        opened: Sets up what is fed; ends with the block.
        seeds: Real inputs, with which mutations begin.
        mutate: Mutates an input in its form.
        longest: How many bytes the fuzzer makes at most.
        short_runs: How many inputs a short run feeds, real ones included.
        linux: Whether there is such a thing on Linux only.
    """

    name: str
    says: str
    opened: Callable[[], AbstractContextManager[Feed]]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Mutate
    longest: int = 4096
    short_runs: int = 4000
    linux: bool = False


def expect(condition: bool, problem: str) -> None:
    """Fails unless something is as it must be.

    Raises:
        FindingError: If it is not.
    """
    if not condition:
        raise FindingError(problem)
