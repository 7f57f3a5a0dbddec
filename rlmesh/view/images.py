"""Makes of arrays what a browser shows."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["Picture", "picture_of"]

# Up to so many pixels, each may count: the images of old games. They are sent without a loss.
_SMALL_PIXELS = 40_000
_JPEG_QUALITY = 88


class Picture(NamedTuple):
    """An image as a browser reads it.

    Attributes:
        kind: Its media type.
        data: Its bytes.
        height: In pixels.
        width: In pixels.
    """

    kind: str
    data: bytes
    height: int
    width: int


def picture_of(array: npt.NDArray[Any]) -> Picture:
    """An array as a picture.

    Args:
        array: Of shape (height, width), (height, width, colours), (colours, height, width) or
            (images, height, width), of which the last image is shown. Floats are from 0 to 1.

    Raises:
        ValueError: If it is no image.
    """
    pixels = _pixels(np.asarray(array))
    image = Image.fromarray(pixels)
    packed = io.BytesIO()
    if image.width * image.height <= _SMALL_PIXELS:
        image.save(packed, "PNG", compress_level=1)
        kind = "image/png"
    else:
        image.save(packed, "JPEG", quality=_JPEG_QUALITY)
        kind = "image/jpeg"
    return Picture(kind, packed.getvalue(), image.height, image.width)


def _pixels(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The array as bytes, of shape (height, width) or (height, width, 3)."""
    if array.dtype.kind == "f":
        array = np.clip(np.nan_to_num(array), 0.0, 1.0) * 255.0
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise ValueError(f"an array of {array.dtype} and shape {array.shape} is no image")
    array = array.astype(np.uint8, copy=False)
    if array.ndim == 3:
        array = _colours_last(array)
    if array.ndim not in (2, 3):
        raise ValueError(f"an array of shape {array.shape} is no image")
    return np.ascontiguousarray(array)


def _colours_last(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    first, _, last = array.shape
    if last in (3, 4):
        # Of four the last is how opaque a pixel is.
        chosen = array[..., :3]
    elif last == 1:
        chosen = array[..., 0]
    elif first == 3:
        chosen = array.transpose(1, 2, 0)
    else:
        # Gray images, the newest last.
        chosen = np.asarray(array[-1])
    return chosen
