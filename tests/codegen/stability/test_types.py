"""Whether the values of one type are values of another."""

from __future__ import annotations

import pytest

from codegen.stability.type_compat import fits

FAMILY = {("rlmesh.spaces.Box", "rlmesh.spaces.Space")}


def is_a(name: str, base: str) -> bool:
    return (name, base) in FAMILY


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("int", "int"),
        ("int", "int | None"),
        ("None", "int | None"),
        ("str | int", "int | str | None"),
        ("int", "float"),
        ("bool", "int"),
        ("int", "Any"),
        ("int", "object"),
        ("int", ""),
        ("Literal['a']", "Literal['a', 'b']"),
        ("Literal['a', 'b']", "str"),
        ("list[int]", "Sequence[int]"),
        ("list[bool]", "Iterable[int]"),
        ("dict[str, int]", "Mapping[str, float]"),
        ("dict[str, int]", "dict[str, Any]"),
        ("tuple[int, str]", "tuple[float, str]"),
        ("tuple[int, bool]", "tuple[int, ...]"),
        ("tuple[int, ...]", "Sequence[int]"),
        ("list[int]", "list"),
        ("rlmesh.spaces.Box", "rlmesh.spaces.Space"),
        ("list[rlmesh.spaces.Box]", "Iterable[rlmesh.spaces.Space]"),
        ("Annotated[int, 'metres']", "int"),
        ("ConnectionError", "OSError"),
        ("IntRange[x >= 1]", "int"),
        ("IntRange[x >= 1]", "float"),
        ("IntRange[x >= 2, x <= 5]", "IntRange[x >= 1]"),
        ("IntRange[x < 5]", "IntRange[x <= 5]"),
        ("IntRange[x >= 1]", "FloatRange[x > 0]"),
    ],
)
def test_less_fits_where_more_is_allowed_and_not_back(narrow: str, wide: str) -> None:
    assert fits(narrow, wide, is_a)
    if narrow != wide and "Annotated" not in narrow and wide != "list":
        assert not fits(wide, narrow, is_a)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("list[bool]", "list[int]"),
        ("int", "str"),
        ("tuple[int, int]", "tuple[int]"),
        ("tuple[int, ...]", "tuple[int, int]"),
        ("Callable[[int], None]", "Callable[[str], None]"),
        ("numpy.ndarray", "rlmesh.spaces.Space"),
        ("dict[str, int]", "Mapping[int, int]"),
    ],
)
def test_what_is_not_certain_does_not_fit(one: str, other: str) -> None:
    assert not fits(one, other, is_a)
