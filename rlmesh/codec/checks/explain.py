"""Says what is wrong with a slab, element by element, after a fast check has refused it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from rlmesh.codec.checks.domains import Domain, NumericDomain, TextDomain
from rlmesh.codec.checks.policy import Nan
from rlmesh.codec.slab.locate import BadElement, bad_elements, element
from rlmesh.codec.slab.protocols import Readable
from rlmesh.codec.slab.texts import compile_text_read
from rlmesh.codec.slab.violations import Deviation, Violation, shown

__all__ = ["Inspect", "compile_inspect"]

Inspect: TypeAlias = Callable[[Readable, int], list[Deviation]]
"""Takes a buffer and where the slab begins in it; returns all deviations, or raises `Violation`."""

_Look: TypeAlias = Callable[[Readable, int, list[int]], Iterator[Deviation]]


def compile_inspect(domains: Sequence[Domain], size: int) -> Inspect:
    """Compiles the slow check of a slab.

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
    vector = leaf.num_envs is not None

    def look(buffer: Readable, offset: int, _tail: list[int]) -> Iterator[Deviation]:
        array = ndarray(leaf.shape, dtype, buffer, offset + leaf.offset)
        if domain.nan is Nan.REJECT:
            for bad_element in bad_elements(np.isnan(array), vector=vector):
                number = element(array[bad_element.index], bad_element.within)
                raise Violation(
                    "nan",
                    leaf.path,
                    bad_element.env_index,
                    f"{number} is no number{bad_element.more}",
                )
        nowhere = np.zeros(leaf.shape, np.bool_)
        below = nowhere if low is None else array < low
        above = nowhere if high is None else array > high
        for bad_element in bad_elements(np.asarray(below | above), vector=vector):
            number = element(array[bad_element.index], bad_element.within)
            if below[bad_element.index]:
                rule = f"below the least allowed, {_bound(low, bad_element)}"
            else:
                rule = f"above the largest allowed, {_bound(high, bad_element)}"
            detail = f"{number} is {rule}{bad_element.more}"
            if domain.required:
                raise Violation("domain", leaf.path, bad_element.env_index, detail)
            yield Deviation("bounds", leaf.path, bad_element.env_index, detail)

    return look


def _look_at_texts(domain: TextDomain) -> _Look:
    leaf, read = domain.leaf, compile_text_read(domain.leaf)

    def look(buffer: Readable, offset: int, tail: list[int]) -> Iterator[Deviation]:
        texts = read(buffer, offset, tail)
        indexed: Any = [(None, texts)] if leaf.num_envs is None else enumerate(texts)
        for (env_index, text), rule in zip(indexed, domain.rules, strict=True):
            count, least, most = len(text), rule.min_length, rule.max_length
            if not least <= count <= most:
                detail = f"a text of {count} characters, where {least} to {most} are allowed"
                yield Deviation("length", leaf.path, env_index, detail)
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
                yield Deviation("charset", leaf.path, env_index, detail)

    return look


def _bound(bound: Any, bad_element: BadElement) -> str:
    return shown(bound[bad_element.index if bound.ndim else ()])
