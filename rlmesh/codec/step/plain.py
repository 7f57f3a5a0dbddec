"""A plain step of a single environment, each half in one call of C: rlmesh/compiled/plain.c.

Plain is a step whose action and observation are one small numeric leaf each and within their
bounds, with a float, two bools and an empty dict beside the observation. The functions here return
None for every other step, and the functions of several frames read or write it from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rlmesh.codec.slab.layout import Layout
from rlmesh.codec.slab.protocols import Writable
from rlmesh.codec.step.wire import MESSAGES
from rlmesh.compiled import step as compiled

__all__ = ["ReadPlainAction", "WritePlainResult", "compile_plain_action", "compile_plain_result"]

ReadPlainAction = Callable[[bytes], Any]
"""The action of a slab; None if Python must read it."""


class WritePlainResult(Protocol):
    """Writes a step's result, where it is plain."""

    def __call__(self, returned: Any, buffer: Writable, start: int, tag: bytes, /) -> int | None:
        """Writes it into the field that begins at `start`; where it ends, or None."""
        ...


def compile_plain_action(layout: Layout, holds: Callable[..., bool]) -> ReadPlainAction | None:
    """Compiles what reads and checks plain actions; None where there is no C for the space."""
    if compiled is None:
        return None
    try:
        return compiled.PlainAction(_owner(layout.decode), _owner(holds)).read
    except TypeError:  # they are functions in Python
        return None


def compile_plain_result(layout: Layout, holds: Callable[..., bool]) -> WritePlainResult | None:
    """Compiles what writes and checks plain results; None where there is no C for the space."""
    if compiled is None:
        return None
    try:
        return compiled.PlainResult(MESSAGES, _owner(layout.encode_into), _owner(holds)).write
    except TypeError:  # as above
        return None


def _owner(function: Callable[..., Any]) -> Any:
    """The object of the extension whose method this is."""
    return getattr(function, "__self__", None)
