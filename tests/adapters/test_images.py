"""Images are resized, cut, filled up and colored."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from adapters.test_steps import applied
from rlmesh import adapters as ad
from rlmesh.errors import StateError


def _space(*shape: int, dtype: Any = np.uint8) -> spaces.Box:
    return spaces.Box(0, 255 if dtype is np.uint8 else 1, shape, dtype)


def test_an_image_of_one_color_keeps_it_by_every_method() -> None:
    for method in ("nearest", "bilinear", "area", "bicubic", "lanczos"):
        for dtype, color in ((np.uint8, [10, 200, 30, 77]), (np.float32, [0.1, 0.9, 0.5, 0.25])):
            for channels in (1, 2, 3, 4):
                image = np.broadcast_to(np.array(color[:channels], dtype), (7, 9, channels))
                step = ad.resize(5, 13, method=method)
                resized = applied(step, _space(7, 9, channels, dtype=dtype), image)
                assert resized.shape == (5, 13, channels)
                assert resized.dtype == dtype
                assert np.allclose(resized, image[0, 0], atol=0 if dtype is np.uint8 else 1e-6)


def test_area_is_the_mean_of_the_pixels() -> None:
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1) / 16
    resized = applied(ad.resize(2, 2, method="area"), _space(4, 4, 1, dtype=np.float32), image)
    expected = image.reshape(2, 2, 2, 2, 1).mean(axis=(1, 3))
    assert np.allclose(resized, expected)


def test_channels_first_gives_what_channels_last_gives() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    last = applied(ad.resize(5, 4), _space(6, 8, 3), image)
    first = applied(
        ad.resize(5, 4, layout="chw"), _space(3, 6, 8), np.moveaxis(image, -1, 0).copy()
    )
    assert np.array_equal(np.moveaxis(first, 0, -1), last)


def test_proportions_are_kept_with_a_border_or_by_a_cut() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 2:6] = 255
    padded = applied(ad.resize(4, 4, fit="pad", fill=9, method="area"), _space(4, 8, 3), image)
    assert padded[0].tolist() == padded[3].tolist() == [[9] * 3] * 4
    assert padded[1, :, 0].tolist() == [0, 255, 255, 0]
    cut = applied(ad.resize(2, 2, fit="crop", method="area"), _space(4, 8, 3), image)
    assert cut.min() == 255


def test_cuts_and_borders() -> None:
    image = np.arange(4 * 6 * 1, dtype=np.uint8).reshape(4, 6, 1)
    space = _space(4, 6, 1)
    assert applied(ad.crop(2, 2), space, image)[..., 0].tolist() == [[8, 9], [14, 15]]
    assert applied(ad.crop(1, 2, top=3, left=0), space, image)[..., 0].tolist() == [[18, 19]]
    bordered = applied(ad.pad(top=1, right=2, value=5), space, image)
    assert bordered.shape == (5, 8, 1)
    assert bordered[0, 0, 0] == bordered[4, 7, 0] == 5
    assert np.array_equal(bordered[1:, :6], image)


def test_colors() -> None:
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    space = _space(1, 3, 3)
    assert applied(ad.color("rgb", "bgr"), space, image)[0, 0].tolist() == [0, 0, 255]
    # The luma of ITU-R 601-2.
    assert applied(ad.color("rgb", "gray"), space, image)[0, :, 0].tolist() == [76, 150, 29]
    assert applied(ad.color("bgr", "gray"), space, image)[0, :, 0].tolist() == [29, 150, 76]
    gray = np.array([[[7]]], np.uint8)
    assert applied(ad.color("gray", "bgr"), _space(1, 1, 1), gray).tolist() == [[[7, 7, 7]]]


def test_axes_before_an_image_stay() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 8, 3), np.uint8)
    for step in (ad.resize(3, 4), ad.color("rgb", "gray"), ad.crop(2, 2), ad.pad(top=1)):
        many = applied(step, _space(6, 8, 3), images)
        assert np.array_equal(many[1, 3], applied(step, _space(6, 8, 3), images[1, 3]))


def test_without_pillow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pillow(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(StateError, match=r"pip install 'rlmesh\[images\]'"):
        applied(ad.resize(2, 2), _space(4, 4, 3), None)
    # What needs no library works.
    assert applied(ad.crop(1, 1), _space(4, 4, 3), np.zeros((4, 4, 3), np.uint8)).shape == (1, 1, 3)
