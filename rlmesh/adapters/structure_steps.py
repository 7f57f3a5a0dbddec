"""Makes the steps that change which spaces stand where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from rlmesh.adapters.making import Flow, Place, make, read_text, read_texts, whole, word
from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.errors import ArgumentTypeError
from rlmesh_api.contract import (
    AdapterStep,
    ConcatenateOperation,
    ExtractOperation,
    FramePadding,
    FrameStackOperation,
    KeyName,
    RenameOperation,
    SelectOperation,
    SplitOperation,
    SplitPart,
    StackOperation,
    TextOperation,
    WrapOperation,
)

__all__ = [
    "concatenate",
    "extract",
    "frame_stack",
    "rename",
    "select",
    "split",
    "stack",
    "text",
    "wrap",
]


def rename(names: Mapping[str, str], *, at: Place = "", on: Flow = "observation") -> AdapterStep:
    """Gives keys of a Dict other names; all keys keep their places.

    Args:
        names: The new name of each key that gets one.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        RenameOperation(
            names=tuple(
                KeyName(old=read_text("a key", old), new=read_text("a name", new))
                for old, new in _pairs("names", names)
            )
        ),
        at,
        on,
    )


def select(keys: Iterable[str], *, at: Place = "", on: Flow = "observation") -> AdapterStep:
    """Keeps some keys of a Dict, in this order.

    Args:
        keys: The keys.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(SelectOperation(keys=read_texts("keys", keys)), at, on)


def extract(key: str, *, at: Place = "", on: Flow = "observation") -> AdapterStep:
    """Replaces a Dict by the value of one of its keys.

    Args:
        key: The key.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(ExtractOperation(key=read_text("key", key)), at, on)


def wrap(key: str, *, at: Place = "", on: Flow = "observation") -> AdapterStep:
    """Puts a value into a Dict of one key.

    Args:
        key: The key.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(WrapOperation(key=read_text("key", key)), at, on)


def concatenate(
    keys: Iterable[str],
    into: str | None = None,
    *,
    axis: int = -1,
    at: Place = "",
    on: Flow = "observation",
) -> AdapterStep:
    """Joins arrays of a Dict along an axis; they have one dtype.

    Args:
        keys: Their keys, in the order in which they are joined; they are gone afterwards.
        into: The key of the result, which stands last. None: the result replaces the Dict, which
            has no other keys.
        axis: The axis, counted from the end.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        ConcatenateOperation(
            keys=read_texts("keys", keys),
            into=None if into is None else read_text("into", into),
            axis=whole("axis", axis),
        ),
        at,
        on,
    )


def split(
    parts: Mapping[str, int],
    key: str | None = None,
    *,
    axis: int = -1,
    at: Place = "",
    on: Flow = "observation",
) -> AdapterStep:
    """Takes an array apart along an axis; the reverse of `concatenate`.

    Args:
        parts: How many places each part has, by its key, in order.
        key: The key of the array in a Dict, which the parts join instead of it. None: the value is
            the array, and a Dict of the parts replaces it.
        axis: The axis, counted from the end.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        SplitOperation(
            key=None if key is None else read_text("key", key),
            parts=tuple(
                SplitPart(key=read_text("a key", name), size=whole("a size", size))
                for name, size in _pairs("parts", parts)
            ),
            axis=whole("axis", axis),
        ),
        at,
        on,
    )


def stack(
    keys: Iterable[str],
    into: str | None = None,
    *,
    axis: int,
    at: Place = "",
    on: Flow = "observation",
) -> AdapterStep:
    """Stacks arrays of a Dict, of one shape and one dtype, along a new axis.

    Args:
        keys: Their keys, in the order in which they are stacked; they are gone afterwards.
        into: As in `concatenate`.
        axis: The new axis in the result, counted from the end.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        StackOperation(
            keys=read_texts("keys", keys),
            into=None if into is None else read_text("into", into),
            axis=whole("axis", axis),
        ),
        at,
        on,
    )


def frame_stack(
    frames: int,
    *,
    axis: int | None = None,
    padding: Literal["first", "zero"] = "first",
    at: Place = "",
) -> AdapterStep:
    """Stacks an array of an observation with those before it in the episode, the oldest first.

    An episode begins with `reset`. Only an observation that was answered becomes part of it: one
    whose call failed may be sent again, and is not in it twice.

    Args:
        frames: How many are stacked, this one included, from 1.
        axis: The new axis in the result, counted from the end. None: the first, as that of
            `gymnasium.wrappers.FrameStackObservation`.
        padding: What stands for those that the episode has not had yet: its `first`, or `zero`.
        at: The place of the array; empty for the whole.

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        FrameStackOperation(
            frames=whole("frames", frames),
            axis=None if axis is None else whole("axis", axis),
            padding=word("padding", FramePadding, padding),
        ),
        at,
        "observation",
    )


def text(
    template: str, into: str, *, lower: bool = False, at: Place = "", on: Flow = "observation"
) -> AdapterStep:
    """Writes a text into a Dict.

    Args:
        template: The text, in which `{key}` stands for the Text of that key, and `{{` and `}}` for
            braces.
        into: The key. What stands there is replaced; a new key stands last.
        lower: Whether the texts that are put in are in lower case.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        TextOperation(
            into=read_text("into", into), template=read_text("template", template), lower=lower
        ),
        at,
        on,
    )


def _pairs(what: str, given: object) -> list[tuple[object, object]]:
    if not is_mapping(given):
        raise ArgumentTypeError(f"{what} must be a mapping, got {type(given).__name__}")
    return list(given.items())
