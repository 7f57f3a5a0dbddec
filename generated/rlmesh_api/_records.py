"""What every contract class does: reading and writing JSON data and messages.

A contract class declares its fields and, in `_codecs`, how the values of each field stand in JSON
and on the wire. All that it does with them is here.

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from google.protobuf.message import Message
from typing_extensions import Self

from rlmesh_api._codecs import Codec
from rlmesh_api._depth import check_depth
from rlmesh_api._html import html_of
from rlmesh_api._problems import (
    Problem,
    Refusal,
    WrongType,
    as_mapping,
    at_root,
    describe,
    key_step,
    listed,
)
from rlmesh_api._texts import digest, from_text, to_text

__all__ = ["Record", "Union", "record"]

M = TypeVar("M", bound=Message)

_MOST_KEYS = 12
_REQUIRED = dataclasses.MISSING


class Record(Generic[M]):
    """A contract class: a frozen mirror of one message.

    A hand-written subclass may have another constructor; reading never calls it.
    """

    __slots__ = ()

    _message: ClassVar[type[Any]]
    _codecs: ClassVar[Mapping[str, Codec]]

    def __post_init__(self) -> None:
        """Check the fields of every new object; a hand-written subclass adds its rules here."""

    def to_dict(self) -> dict[str, Any]:
        """Return strict JSON data from which `from_dict` makes an equal object.

        Raises:
            TypeError: A field holds a value of a type that it cannot.
            ValueError: A field holds a value that it cannot.
        """
        with at_root(reading=False):
            return self._to_json()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make the object that `to_dict` wrote.

        Args:
            data: What `to_dict` returned, or the same read from JSON.

        Raises:
            ValueError: A key is unknown or missing, or a value is not what its place expects.
        """
        with at_root(reading=True):
            return cls._from_json(data)

    def to_json(self) -> str:
        """Return `to_dict` as JSON text on one line; every number of it is exact.

        Raises:
            TypeError: A field holds a value of a type that it cannot.
            ValueError: A field holds a value that it cannot.
        """
        return to_text(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Make the object that `to_json` wrote.

        Args:
            text: The JSON text; bytes are UTF-8.

        Raises:
            ValueError: It is no JSON, a key is unknown, missing or there twice, or a value is not
                what its place expects.
        """
        with at_root(reading=True):
            return cls._from_json(from_text(text))

    def _repr_html_(self) -> str | None:
        """What notebooks show of it; None where that is its `repr`."""
        return html_of(self)

    @property
    def fingerprint(self) -> str:
        """An identity: 64 hexadecimal digits, which equal objects have in common.

        It is the SHA-256 of the object's JSON text without fields at their defaults, the keys of
        every object sorted. So it is the same in every process, with every version of Python and,
        for what both know, of this package.
        """
        with at_root(reading=False):
            self._to_json()  # refuses what no contract can hold, by its place
            return digest(self._without_defaults())

    def to_proto(self) -> M:
        """Return the message from which `from_proto` makes an equal object.

        Raises:
            TypeError: A field holds a value of a type that it cannot.
            ValueError: A field holds a value that it cannot.
        """
        with at_root(reading=False):
            message: M = self._to_wire()
            check_depth(message)
        return message

    @classmethod
    def from_proto(cls, message: M) -> Self:
        """Make the object that a message describes.

        Args:
            message: The message; it is only read.

        Raises:
            ValueError: The message lacks something, or holds what this version does not know.
        """
        with at_root(reading=True):
            return cls._from_wire(message)

    def _to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for name, codec in self._codecs.items():
            try:
                data[name] = codec.to_json(getattr(self, name))
            except Problem as problem:
                raise problem.inside(key_step(name)) from None
        return data

    def _without_defaults(self) -> dict[str, Any]:
        """JSON data that a field which a later version adds does not change, unless it is set."""
        data: dict[str, Any] = {}
        for name, codec in self._codecs.items():
            encoded = self._bare(getattr(self, name), codec)
            default = _default(self._owner(), name)
            # As text, in which 1, 1.0 and True differ.
            if default is _REQUIRED or to_text(encoded) != to_text(self._bare(default, codec)):
                data[name] = encoded
        return data

    @staticmethod
    def _bare(value: Any, codec: Codec) -> Any:
        """The JSON data of a field's value, without the defaults of what stands in it."""
        if isinstance(value, Record):
            return value._without_defaults()  # noqa: SLF001 - a class of the same family
        items: Any = value
        if isinstance(value, tuple) and any(isinstance(item, Record) for item in items):
            return [Record._bare(item, codec) for item in items]
        return codec.to_json(value)

    @classmethod
    def _from_json(cls, data: Any) -> Self:
        return cls._from_keys(as_mapping(data, f"an object with the keys {listed(cls._codecs)}"))

    @classmethod
    def _from_keys(cls, data: Mapping[Any, Any]) -> Self:
        for key in data:
            if key not in cls._codecs:
                known = f"no key but {listed(cls._codecs)}"
                raise Problem(known, f"the key {describe(key)}")
        values: dict[str, Any] = {}
        for name, codec in cls._codecs.items():
            if name in data:
                try:
                    values[name] = codec.from_json(data[name])
                except Problem as problem:
                    raise problem.inside(key_step(name)) from None
            elif _default(cls._owner(), name) is _REQUIRED:
                raise Problem(f"the key {describe(name)}", f"only {_keys(data)}")
        return cls._build(values)

    def _to_wire(self) -> Any:
        fields: dict[str, Any] = {}
        for name, codec in self._codecs.items():
            try:
                fields[name] = codec.to_wire(getattr(self, name))
            except Problem as problem:
                raise problem.inside(key_step(name)) from None
        return self._message(**fields)

    @classmethod
    def _from_wire(cls, message: Any) -> Self:
        return cls._from_fields(message)

    @classmethod
    def _from_fields(cls, message: Any) -> Self:
        values: dict[str, Any] = {}
        for name, codec in cls._codecs.items():
            try:
                if not _is_absent(message, name):
                    values[name] = codec.from_wire(getattr(message, name))
                else:
                    _check_default(cls._owner(), name)
            except Problem as problem:
                raise problem.inside(key_step(name)) from None
        return cls._build(values)

    @classmethod
    def _as_field(cls) -> Codec:
        def check(value: object) -> Any:
            if not isinstance(value, cls):
                raise WrongType(f"an object of {cls.__name__}", describe(value))
            return value

        return Codec(
            lambda value: cls._to_json(check(value)),
            cls._from_json,
            lambda value: cls._to_wire(check(value)),
            cls._from_wire,
        )

    @classmethod
    def _build(cls, values: Mapping[str, Any]) -> Self:
        """Make an object through the generated constructor, even where the class has another."""
        built = object.__new__(cls)
        try:
            cls._owner().__init__(built, **values)
        except ValueError as error:
            raise Refusal(error) from error
        return built

    @classmethod
    def _owner(cls) -> type[Any]:
        """The generated class: the one that declares the fields."""
        return next(base for base in cls.__mro__ if "_codecs" in vars(base))


class Union(Record[M]):
    """A contract class that is one of several, which differ in `kind`.

    The direct subclass stands for the union, its subclasses for the arms. A subclass of an arm
    takes the arm's place: reading makes objects of it from then on.
    """

    __slots__ = ()

    kind: ClassVar[str]
    _union: ClassVar[type[Any]]
    _arms: ClassVar[dict[str, type[Any]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_arms" not in vars(cls):
            cls._arms[cls.kind] = cls

    def _to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **super()._to_json()}

    def _without_defaults(self) -> dict[str, Any]:
        return {"kind": self.kind, **super()._without_defaults()}

    @classmethod
    def _from_json(cls, data: Any) -> Self:
        keys = as_mapping(data, "an object with the key 'kind'")
        if "kind" not in keys:
            raise Problem("the key 'kind'", f"only {_keys(keys)}")
        kind = keys["kind"]
        try:
            arm = cls._arm(kind if isinstance(kind, str) else None, describe(kind))
        except Problem as problem:
            raise problem.inside(".kind") from None
        fields = {key: keys[key] for key in keys if key != "kind"}
        return arm._from_keys(fields)  # noqa: SLF001 - a class of the same family

    def _to_wire(self) -> Any:
        return self._union(**{self.kind: super()._to_wire()})

    @classmethod
    def _from_wire(cls, message: Any) -> Self:
        kind: str | None = message.WhichOneof("kind")
        arm = cls._arm(kind, "none that this version knows" if kind is None else kind)
        fields = getattr(message, arm.kind)
        return arm._from_fields(fields)  # noqa: SLF001 - a class of the same family

    @classmethod
    def _arm(cls, kind: str | None, got: str) -> type[Self]:
        """The class that stands for an arm now, which this class must be or stand above."""
        arm = None if kind is None else cls._arms.get(kind)
        if arm is None or not issubclass(arm, cls):
            known = (name for name, known in cls._arms.items() if issubclass(known, cls))
            raise Problem(f"one of the kinds {listed(known)}", got)
        return arm


def record(cls: type[Record[M]]) -> Codec:
    """A field that holds an object of a contract class."""
    return cls._as_field()  # pyright: ignore[reportPrivateUsage] - this module's own


def _keys(data: Mapping[Any, Any]) -> str:
    """The keys that came, or the first few of many."""
    first = listed(describe(key) for key in itertools.islice(data, _MOST_KEYS))
    return first if len(data) <= _MOST_KEYS else f"{first} and {len(data) - _MOST_KEYS} more"


def _is_absent(message: Message, name: str) -> bool:
    return message.DESCRIPTOR.fields_by_name[name].has_presence and not message.HasField(name)


def _default(owner: type[Any], name: str) -> Any:
    """The default of a field of a generated class, or `_REQUIRED`."""
    field = owner.__dataclass_fields__[name]
    return field.default if field.default_factory is _REQUIRED else field.default_factory()


def _check_default(owner: type[Any], name: str) -> None:
    if _default(owner, name) is _REQUIRED:
        raise Problem("a value, as the field is required", "none")
