"""Makes the steps that change images."""

from __future__ import annotations

from rlmesh.adapters.making import Flow, Place, make, number, whole, word
from rlmesh_api.contract import (
    AdapterStep,
    ChannelOrderOperation,
    ColorForm,
    ColorOperation,
    CropOperation,
    ImageLayout,
    PadOperation,
    ResizeFit,
    ResizeMethod,
    ResizeOperation,
)

__all__ = ["channel_order", "color", "crop", "pad", "resize"]


def resize(
    height: int,
    width: int,
    *,
    method: str = "bilinear",
    fit: str = "stretch",
    fill: float = 0.0,
    layout: str = "hwc",
    at: Place = "",
    on: Flow = "observation",
) -> AdapterStep:
    """Resizes an image of uint8 or float32, with Pillow: the extra `rlmesh[images]`.

    Args:
        height: The height.
        width: The width.
        method: How pixels are computed: "nearest", "bilinear", "area", "bicubic" or "lanczos".
        fit: What becomes of other proportions: "stretch"; "pad", which fills up with `fill`; or
            "crop", which cuts off evenly.
        fill: The value of pixels that the image does not reach.
        layout: Where its axes stand: "hwc" or "chw".
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        ResizeOperation(
            height=whole("height", height),
            width=whole("width", width),
            method=word("method", ResizeMethod, method),
            fit=word("fit", ResizeFit, fit),
            fill=number("fill", fill),
            layout=word("layout", ImageLayout, layout),
        ),
        at,
        on,
    )


def crop(
    height: int,
    width: int,
    *,
    top: int | None = None,
    left: int | None = None,
    layout: str = "hwc",
    at: Place = "",
    on: Flow = "observation",
) -> AdapterStep:
    """Cuts a rectangle out of an image.

    Args:
        height: Its height.
        width: Its width.
        top: Its first row. None: it stands in the middle.
        left: Its first column. None: it stands in the middle.
        layout: Where its axes stand: "hwc" or "chw".
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        CropOperation(
            top=None if top is None else whole("top", top),
            left=None if left is None else whole("left", left),
            height=whole("height", height),
            width=whole("width", width),
            layout=word("layout", ImageLayout, layout),
        ),
        at,
        on,
    )


def pad(
    *,
    top: int = 0,
    bottom: int = 0,
    left: int = 0,
    right: int = 0,
    value: float = 0.0,
    layout: str = "hwc",
    at: Place = "",
    on: Flow = "observation",
) -> AdapterStep:
    """Puts a border around an image.

    Args:
        top: How many rows stand above it.
        bottom: How many rows stand below it.
        left: How many columns stand to its left.
        right: How many columns stand to its right.
        value: The value of the border.
        layout: Where its axes stand: "hwc" or "chw".
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        PadOperation(
            top=whole("top", top),
            bottom=whole("bottom", bottom),
            left=whole("left", left),
            right=whole("right", right),
            value=number("value", value),
            layout=word("layout", ImageLayout, layout),
        ),
        at,
        on,
    )


def channel_order(
    source: str, target: str, *, at: Place = "", on: Flow = "observation"
) -> AdapterStep:
    """Moves the channels of an image.

    Args:
        source: Where its axes stand: "hwc" or "chw".
        target: Where they are to stand.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        ChannelOrderOperation(
            source=word("source", ImageLayout, source), target=word("target", ImageLayout, target)
        ),
        at,
        on,
    )


def color(
    source: str, target: str, *, layout: str = "hwc", at: Place = "", on: Flow = "observation"
) -> AdapterStep:
    """Changes what the channels of an image are; to gray with Pillow.

    Args:
        source: What they are: "rgb", "bgr" or "gray".
        target: What they are to be. Only images of uint8 are made gray.
        layout: Where its axes stand: "hwc" or "chw".
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        ColorOperation(
            source=word("source", ColorForm, source),
            target=word("target", ColorForm, target),
            layout=word("layout", ImageLayout, layout),
        ),
        at,
        on,
    )
