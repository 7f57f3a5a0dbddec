"""Dataclasses whose methods are compiled when they are first used.

`dataclasses.dataclass` compiles six methods for each class. For all contract classes that took a
fifteenth of the time that a server takes to start, and most processes use few of them.

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

__all__ = ["late_dataclass"]

_COMPILED = ("__init__", "__repr__", "__eq__", "__hash__")


def late_dataclass(
    *, frozen: Literal[True], slots: Literal[True], kw_only: Literal[True]
) -> Callable[[type[Any]], type[Any]]:
    """As `dataclasses.dataclass` with the same options; the methods are the ones that it makes."""
    del frozen, slots, kw_only
    # Without the methods that it would compile, and those that freeze are compiled too.
    plain = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=True)

    def make(cls: type[Any]) -> type[Any]:
        made = plain(cls)
        params = made.__dataclass_params__
        params.init = params.repr = params.eq = params.frozen = True
        for name in _COMPILED:
            setattr(made, name, _LateMethod(made, name))
        made.__getstate__ = _getstate
        made.__setstate__ = _setstate
        made.__setattr__ = _forbidding(made, object.__setattr__, "assign to")
        made.__delattr__ = _forbidding(made, object.__delattr__, "delete")
        return made

    return make


class _LateMethod:
    """A method that is not compiled yet. Looking it up puts all of its class in place."""

    def __init__(self, cls: type[Any], name: str) -> None:
        self._cls = cls
        self._name = name

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        compiled = _compiled(self._cls)
        # Two threads may both do so, with methods that do the same.
        for name in _COMPILED:
            setattr(self._cls, name, vars(compiled)[name])
        return vars(compiled)[self._name].__get__(instance, owner)


def _compiled(cls: type[Any]) -> type[Any]:
    """A dataclass with the same fields; no subclass of a contract class, which would register."""
    fields = dataclasses.fields(cls)
    body = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__annotations__": {field.name: field.type for field in fields},
        "__post_init__": cls.__post_init__,
        **{field.name: field for field in fields},
    }
    return dataclasses.dataclass(frozen=True, kw_only=True)(type(cls.__name__, (), body))


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


def _forbidding(cls: type[Any], do: Callable[..., None], doing: str) -> Callable[..., None]:
    """What sets or deletes an attribute of an object, which no field is."""
    fields = {field.name for field in dataclasses.fields(cls)}

    def forbid(self: object, name: str, *value: object) -> None:
        if type(self) is cls or name in fields:
            raise dataclasses.FrozenInstanceError(f"cannot {doing} field {name!r}")
        do(self, name, *value)

    return forbid
