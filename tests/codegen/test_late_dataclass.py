"""A contract class is a frozen dataclass with slots, whose methods are compiled when used."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any, ClassVar

import pytest

from rlmesh_api._late_dataclass import late_dataclass

OPTIONS: dict[str, Any] = {"frozen": True, "slots": True, "kw_only": True}


class Base:
    __slots__ = ()

    made: ClassVar[list[object]] = []

    def __post_init__(self) -> None:
        self.made.append(self)


# What follows is made twice of the same body.
def _body(name: str) -> dict[str, Any]:
    return {
        "__module__": __name__,
        "__qualname__": name,
        "__doc__": "A class.",
        "__annotations__": {
            "kind": "ClassVar[str]",
            "x": "int",
            "y": "tuple[int, ...]",
            "z": "Any",
        },
        "kind": "late",
        "y": (),
        "z": dataclasses.field(default_factory=dict, hash=False),
    }


Late: Any = late_dataclass(**OPTIONS)(type("Late", (Base,), _body("Late")))
Plain: Any = dataclasses.dataclass(**OPTIONS)(type("Plain", (Base,), _body("Plain")))


class Derived(Late):  # type: ignore[misc]  # made at run time
    __slots__ = ()

    def __init__(self, x: int) -> None:
        super().__init__(x=x, y=(1,))


def again(value: object) -> object:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - it was written here


def test_nothing_is_compiled_before_it_is_used() -> None:
    cls: Any = late_dataclass(**OPTIONS)(type("Late", (Base,), _body("Late")))
    methods = ("__init__", "__repr__", "__eq__", "__hash__")
    assert not any(inspect.isfunction(vars(cls)[name]) for name in methods)
    repr(cls(x=1))
    assert all(inspect.isfunction(vars(cls)[name]) for name in methods)


def test_it_shows_what_a_dataclass_shows() -> None:
    assert inspect.signature(Late) == inspect.signature(Plain)
    assert [(each.name, each.type) for each in dataclasses.fields(Late)] == [
        (each.name, each.type) for each in dataclasses.fields(Plain)
    ]
    assert repr(Late.__dataclass_params__) == repr(Plain.__dataclass_params__)
    assert Late.__slots__ == Plain.__slots__
    assert vars(Late).keys() == vars(Plain).keys()


@pytest.mark.parametrize("arguments", [{}, {"x": 1, "w": 2}])
def test_wrong_arguments_are_told_as_a_dataclass_tells_them(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as told:
        Plain(**arguments)
    with pytest.raises(TypeError) as late:
        Late(**arguments)
    assert str(late.value) == str(told.value).replace("Plain", "Late")


def test_its_objects_are_those_of_a_dataclass() -> None:
    value, other = Late(x=1, z={1: 2}), Late(x=1)
    assert repr(value) == repr(Plain(x=1, z={1: 2})).replace("Plain", "Late")
    assert Base.made[-2:] == [other, Plain(x=1, z={1: 2})]
    assert hash(value) == hash(other) == hash(Plain(x=1))
    assert value != other
    assert value != Plain(x=1, z={1: 2})
    assert other.z is not Late(x=1).z
    assert dataclasses.replace(other, z={1: 2}) == value
    assert dataclasses.asdict(value) == {"x": 1, "y": (), "z": {1: 2}}
    assert again(value) == copy.deepcopy(value) == copy.copy(value) == value


def test_a_subclass_with_another_constructor_is_one_too() -> None:
    value = Derived(3)
    assert repr(value) == "Derived(x=3, y=(1,), z={})"
    assert value == Derived(3) != Late(x=3, y=(1,))
    assert again(value) == value


@pytest.mark.parametrize("value", [Late(x=1), Derived(1)])
def test_nothing_can_be_set_or_deleted(value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot assign to field 'x'$"):
        value.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot delete field 'x'$"):
        del value.x
    assert value.x == 1
    with pytest.raises(AttributeError):
        value.unknown = 2
