"""Says what is wrong with a slab: the slow way, for one that a predicate found fault with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from rlmesh.values.domains import Domain, NumericDomain, TextDomain
from rlmesh.values.faults import Fault, element, faults
from rlmesh.values.functions import Readable
from rlmesh.values.misfit import Deviation, Misfit, shown
from rlmesh.values.texts import compile_text_read

__all__ = ["Inspect", "compile_inspect"]

Inspect: TypeAlias = Callable[[Readable, int], list[Deviation]]
"""Takes a buffer and where the slab begins in it; gives all deviations, and raises `Misfit`."""

_Look: TypeAlias = Callable[[Readable, int, list[int]], Iterator[Deviation]]


def compile_inspect(domains: Sequence[Domain], size: int) -> Inspect:
    """Compiles what says what is wrong.

    Args:
        domains: All leaves of a slab, in declared order.
        size: The bytes of the slab's fixed part.
    """
    looks = [
        _look_at_numbers(domain) if isinstance(domain, NumericDomain) else _look_at_texts(domain)
        for domain in domains
    ]

    def inspect(buffer: Readable, offset: int) -> list[Deviation]:
        tail = [offset + size, len(buffer)]
        return [deviation for look in looks for deviation in look(buffer, offset, tail)]

    return inspect


def _look_at_numbers(domain: NumericDomain) -> _Look:
    leaf, dtype, low, high = domain.leaf, domain.dtype, domain.low, domain.high
    vector = leaf.lanes is not None

    def look(buffer: Readable, offset: int, _tail: list[int]) -> Iterator[Deviation]:
        array = ndarray(leaf.shape, dtype, buffer, offset + leaf.offset)
        if dtype.kind == "f":
            for fault in faults(np.isnan(array), vector=vector):
                number = element(array[fault.index], fault.within)
                raise Misfit("nan", leaf.path, fault.lane, f"{number} is no number{fault.more}")
        nowhere = np.zeros(leaf.shape, np.bool_)
        below = nowhere if low is None else array < low
        above = nowhere if high is None else array > high
        for fault in faults(np.asarray(below | above), vector=vector):
            number = element(array[fault.index], fault.within)
            if below[fault.index]:
                rule = f"below the least allowed, {_bound(low, fault)}"
            else:
                rule = f"above the largest allowed, {_bound(high, fault)}"
            detail = f"{number} is {rule}{fault.more}"
            if domain.required:
                raise Misfit("domain", leaf.path, fault.lane, detail)
            yield Deviation("bounds", leaf.path, fault.lane, detail)

    return look


def _look_at_texts(domain: TextDomain) -> _Look:
    leaf, read = domain.leaf, compile_text_read(domain.leaf)

    def look(buffer: Readable, offset: int, tail: list[int]) -> Iterator[Deviation]:
        texts = read(buffer, offset, tail)
        lanes: Any = [(None, texts)] if leaf.lanes is None else enumerate(texts)
        for (lane, text), rule in zip(lanes, domain.rules, strict=True):
            count, least, most = len(text), rule.min_length, rule.max_length
            if not least <= count <= most:
                detail = f"a text of {count} characters, where {least} to {most} are allowed"
                yield Deviation("length", leaf.path, lane, detail)
            charset = rule.charset
            strange = (
                []
                if charset is None
                else [index for index, character in enumerate(text) if character not in charset]
            )
            if strange:
                more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
                first = strange[0]
                detail = f"{shown(text[first])} at [{first}] is not in the charset{more}"
                yield Deviation("charset", leaf.path, lane, detail)

    return look


def _bound(bound: Any, fault: Fault) -> str:
    return shown(bound[fault.index if bound.ndim else ()])
