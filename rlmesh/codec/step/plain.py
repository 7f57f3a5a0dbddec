"""A plain step of a single environment, in three calls of C: rlmesh/compiled/plain.c.

Plain is a step whose action and observation are one small numeric leaf each and within their
bounds, with a float, two bools and an empty dict beside the observation. The functions here leave
every other step to the functions of several frames, which do it from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rlmesh.codec.slab.layout import Layout
from rlmesh.codec.slab.protocols import Readable, Writable
from rlmesh.codec.step.wire import MESSAGES
from rlmesh.compiled import step as compiled

__all__ = [
    "PlainAction",
    "ReadPlainAnswer",
    "WritePlainResult",
    "compile_plain_action",
    "compile_plain_answer",
    "compile_plain_result",
]


class PlainAction(Protocol):
    """Steps environments with plain actions."""

    @property
    def seconds(self) -> float:
        """How long the environment's step of the last call took."""
        ...

    def step(self, env: Any, slab: bytes, /) -> Any:
        """What the environment's step returned or raised; this object if it was not called."""
        ...


class WritePlainResult(Protocol):
    """Writes a step's result, where it is plain."""

    def __call__(
        self, returned: Any, buffer: Writable, start: int, tag: bytes, sequence: int = ..., /
    ) -> int | None:
        """Where the result ends; None if it was not written.

        Args:
            returned: What the environment's step returned.
            buffer: Where to write it.
            start: Where its field begins.
            tag: The field's tag.
            sequence: The sequence to write in front of it, where it is alone in its message.
        """
        ...


class ReadPlainAnswer(Protocol):
    """Reads a step's answer, where it is plain."""

    def __call__(
        self, buffer: Readable, start: int, end: int, sequence: int, /
    ) -> tuple[Any, float, bool, bool, dict[str, Any]] | None:
        """The five values of a step, for the caller to keep; None if it is not plain.

        Args:
            buffer: Where the message stands.
            start: Where it begins.
            end: Where it ends.
            sequence: Its sequence.
        """
        ...


def compile_plain_action(layout: Layout, holds: Callable[..., bool]) -> PlainAction | None:
    """Compiles what steps with plain actions; None where there is no C for the space."""
    if compiled is None:
        return None
    try:
        return compiled.PlainAction(_owner(layout.decode), _owner(holds))
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


def compile_plain_answer(layout: Layout) -> ReadPlainAnswer | None:
    """Compiles what reads plain answers; None where there is no C for the space."""
    if compiled is None:
        return None
    try:
        return compiled.PlainAnswer(MESSAGES, _owner(layout.decode)).read
    except TypeError:  # as above, or the observation is large
        return None


def _owner(function: Callable[..., Any]) -> Any:
    """The object of the extension whose method this is."""
    return getattr(function, "__self__", None)
