"""Steps that change images. Pillow, the extra `rlmesh[images]`, resizes and makes gray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rlmesh.adapters.boxes import Array, Compiled, bounds, box, check_room, plain_box
from rlmesh.adapters.faults import StepFault, brief
from rlmesh.errors import StateError
from rlmesh_api.contract import (
    BoxSpace,
    ChannelOrderOperation,
    ColorForm,
    ColorOperation,
    CropOperation,
    Dtype,
    ImageLayout,
    PadOperation,
    ResizeFit,
    ResizeMethod,
    ResizeOperation,
    Space,
)

__all__ = [
    "compile_channel_order",
    "compile_color",
    "compile_crop",
    "compile_pad",
    "compile_resize",
]

_HWC, _CHW = ImageLayout.HWC, ImageLayout.CHW
_OVERSHOOTS = (ResizeMethod.BICUBIC, ResizeMethod.LANCZOS)
_CHANNELS = {ColorForm.RGB: 3, ColorForm.BGR: 3, ColorForm.GRAY: 1}


def compile_resize(operation: ResizeOperation, space: Space) -> Compiled:
    """Compiles what resizes an image."""
    whole = _image(space, operation.layout)
    if whole.dtype not in {Dtype.UINT8, Dtype.FLOAT32}:
        raise StepFault("an image of uint8 or float32; put a cast before this step", brief(space))
    height, width = operation.height, operation.width
    if 0 in {height, width} or 0 in whole.shape:
        raise StepFault("1 or more rows, columns and channels", (*whole.shape, height, width))
    rows, columns, channels = _sizes(whole.shape, operation.layout)
    low, high = (np.asarray(end) for end in bounds(whole))
    least, most = low.min(), high.max()
    fill = _pixel("fill", operation.fill, whole)
    top, left, inner, source = _fitted(operation.fit, (rows, columns), (height, width))
    ends = [least, most, *([fill] if inner != (height, width) else [])]
    shape = _shape(operation.layout, height, width, channels)
    check_room(shape, whole)
    # Floats may stand a last digit beyond what they are computed of.
    clips = operation.method in _OVERSHOOTS or whole.dtype is Dtype.FLOAT32
    resize = _resizer(operation.method, inner, source)
    chw = operation.layout is _CHW

    def change(array: Array) -> Array:
        images = np.moveaxis(array, -3, -1) if chw else array
        result = np.full((*images.shape[:-3], height, width, channels), fill, dtype=array.dtype)
        for index in np.ndindex(images.shape[:-3]):
            resized = resize(images[index])
            if clips:
                resized = np.clip(resized, least, most)
            result[index][top : top + inner[0], left : left + inner[1]] = resized
        return np.ascontiguousarray(np.moveaxis(result, -1, -3)) if chw else result

    _pillow()  # refuses now, and not in the middle of an episode
    return box(np.full(shape, min(ends)), np.full(shape, max(ends))), change


def compile_crop(operation: CropOperation, space: Space) -> Compiled:
    """Compiles what cuts a rectangle out of an image."""
    whole = _image(space, operation.layout)
    rows, columns, _ = _sizes(whole.shape, operation.layout)
    top, bottom = _range("top", operation.top, operation.height, rows)
    left, right = _range("left", operation.left, operation.width, columns)
    place = _slices(operation.layout, slice(top, bottom), slice(left, right))
    low, high = bounds(whole)
    return box(low[place], high[place]), lambda array: array[place].copy()


def compile_pad(operation: PadOperation, space: Space) -> Compiled:
    """Compiles what puts a border around an image."""
    whole = _image(space, operation.layout)
    value = _pixel("value", operation.value, whole)
    widths = [(operation.top, operation.bottom), (operation.left, operation.right)]
    widths.insert(2 if operation.layout is _HWC else 0, (0, 0))
    check_room([size + sum(pair) for size, pair in zip(whole.shape, widths, strict=True)], whole)

    def change(array: Array) -> Array:
        before = [(0, 0)] * (array.ndim - 3)
        return np.pad(array, [*before, *widths], constant_values=value)

    low, high = bounds(whole)
    return box(change(low), change(high)), change


def compile_channel_order(operation: ChannelOrderOperation, space: Space) -> Compiled:
    """Compiles what moves the channels of an image."""
    whole = _image(space, operation.source)
    if operation.source is operation.target:
        return whole, lambda array: array
    source, target = (-1, -3) if operation.source is _HWC else (-3, -1)

    def change(array: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(array, source, target))

    low, high = bounds(whole)
    return box(change(low), change(high)), change


def compile_color(operation: ColorOperation, space: Space) -> Compiled:
    """Compiles what changes the channels of an image into others."""
    whole = _image(space, operation.layout)
    source, target = operation.source, operation.target
    axis = -1 if operation.layout is _HWC else -3
    if whole.shape[axis] != _CHANNELS[source]:
        raise StepFault(f"an image of {_CHANNELS[source]} channels as {source.value}", brief(space))
    if source is target:
        return whole, lambda array: array
    low, high = bounds(whole)
    if target is ColorForm.GRAY:
        if whole.dtype is not Dtype.UINT8:
            raise StepFault("an image of uint8, to be made gray", brief(space))
        _pillow()
        gray = _gray_from(source, axis)
        return box(low.min(axis, keepdims=True), high.max(axis, keepdims=True)), gray
    if source is ColorForm.GRAY:
        return (
            box(np.repeat(low, 3, axis), np.repeat(high, 3, axis)),
            lambda array: np.repeat(array, 3, axis),
        )

    def change(array: Array) -> Array:
        return np.ascontiguousarray(np.flip(array, axis))

    return box(change(low), change(high)), change


def _gray_from(source: ColorForm, axis: int) -> Callable[[Any], Array]:
    def change(array: Array) -> Array:
        images = np.moveaxis(array, axis, -1)
        if source is ColorForm.BGR:
            images = images[..., ::-1]
        result = np.empty((*images.shape[:-1], 1), np.uint8)
        pillow = _pillow()
        for index in np.ndindex(images.shape[:-3]):
            image = pillow.fromarray(np.ascontiguousarray(images[index]))
            result[index] = np.asarray(image.convert("L"))[..., None]
        return np.ascontiguousarray(np.moveaxis(result, -1, axis))

    return change


def _image(space: Space, layout: ImageLayout) -> BoxSpace:
    whole = plain_box(space)
    if len(whole.shape) != 3:
        axes = "(height, width, channels)" if layout is _HWC else "(channels, height, width)"
        raise StepFault(f"an image of three axes, {axes}; a reshape may add one", brief(space))
    return whole


def _sizes(shape: tuple[int, ...], layout: ImageLayout) -> tuple[int, int, int]:
    if layout is _HWC:
        rows, columns, channels = shape
    else:
        channels, rows, columns = shape
    return rows, columns, channels


def _shape(layout: ImageLayout, height: int, width: int, channels: int) -> tuple[int, ...]:
    return (height, width, channels) if layout is _HWC else (channels, height, width)


def _slices(layout: ImageLayout, rows: slice, columns: slice) -> tuple[Any, ...]:
    return (..., rows, columns, slice(None)) if layout is _HWC else (..., rows, columns)


def _pixel(what: str, value: float, space: BoxSpace) -> Any:
    dtype = np.dtype(space.dtype.value)
    with np.errstate(all="ignore"):
        pixel = np.array(value).astype(dtype)
    # A float is rounded; an integer is what it says.
    if not np.isfinite(value) or (dtype.kind != "f" and pixel != value):
        raise StepFault(f"a number that {space.dtype.value} holds as `{what}`", value)
    return pixel[()]


def _range(what: str, first: int | None, length: int, most: int) -> tuple[int, int]:
    begin = max(0, most - length) // 2 if first is None else first
    if length < 1 or begin + length > most:
        raise StepFault(f"a rectangle within the {most} places after `{what}`", (begin, length))
    return begin, begin + length


def _fitted(
    fit: ResizeFit, size: tuple[int, int], wanted: tuple[int, int]
) -> tuple[int, int, tuple[int, int], tuple[float, float, float, float] | None]:
    """Where the resized image stands, its size, and the part of the image that it is of."""
    (rows, columns), (height, width) = size, wanted
    if fit is ResizeFit.PAD:
        ratio = max(rows / height, columns / width)
        inner = (max(1, int(rows / ratio)), max(1, int(columns / ratio)))
        return (height - inner[0]) // 2, (width - inner[1]) // 2, inner, None
    if fit is ResizeFit.CROP:
        ratio = min(rows / height, columns / width)
        top, left = (rows - height * ratio) / 2, (columns - width * ratio) / 2
        return 0, 0, wanted, (left, top, columns - left, rows - top)
    return 0, 0, wanted, None


def _resizer(
    method: ResizeMethod, size: tuple[int, int], part: tuple[float, float, float, float] | None
) -> Callable[[Array], Array]:
    filters: Mapping[ResizeMethod, str] = {
        ResizeMethod.NEAREST: "NEAREST",
        ResizeMethod.BILINEAR: "BILINEAR",
        ResizeMethod.AREA: "BOX",
        ResizeMethod.BICUBIC: "BICUBIC",
        ResizeMethod.LANCZOS: "LANCZOS",
    }
    target = (size[1], size[0])

    def of_one(pillow: Any, image: Array) -> Array:
        made = pillow.fromarray(np.ascontiguousarray(image))
        resample = getattr(pillow.Resampling, filters[method])
        return np.asarray(made.resize(target, resample, box=part))

    def resize(image: Array) -> Array:
        pillow = _pillow()
        if image.shape[-1] == 3 and image.dtype == np.uint8:
            return of_one(pillow, image)
        # Pillow weights colors by what it takes for transparency, so each channel comes alone.
        channels = [of_one(pillow, image[..., index]) for index in range(image.shape[-1])]
        return np.stack(channels, axis=-1)

    return resize


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise StateError(
            "the steps resize and color need Pillow, which is not installed; run "
            "`pip install 'rlmesh[images]'`"
        ) from error
    return Image
