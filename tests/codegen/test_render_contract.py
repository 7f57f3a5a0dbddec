from __future__ import annotations

from codegen.contract_model import ContractClass, ContractField
from codegen.model import Enum, EnumValue, Field, Kind, Message
from codegen.render.contract import render_class, render_enum


def a_field(name: str, annotation: str, codec: str, default: str | None) -> ContractField:
    field = Field(name=name, number=1, kind=Kind.SCALAR, type="uint64", comment=f"The {name}.")
    return ContractField(field=field, annotation=annotation, codec=codec, default=default)


def test_a_record_declares_its_fields_and_their_codecs() -> None:
    message = Message(name="Thing", file="rlmesh_api/v1/small.proto", comment="A thing.")
    fields = (
        a_field("n", "int", "codec.UINT64", None),
        a_field("on", "bool", "codec.BOOL", "False"),
    )
    assert (
        render_class(ContractClass(message=message, fields=fields))
        == '''\
@dataclass(frozen=True, slots=True, kw_only=True)
class Thing(Record[small_pb2.Thing]):
    """A thing.

    Attributes:
        n: The n.
        on: The on.
    """

    _message: ClassVar[type[small_pb2.Thing]] = small_pb2.Thing
    _codecs: ClassVar[Mapping[str, codec.Codec]] = {"n": codec.UINT64,"on": codec.BOOL,}

    n: int
    on: bool = False'''
    )


def test_an_arm_derives_from_its_union_and_says_its_kind() -> None:
    message = Message(name="Dot", file="rlmesh_api/v1/small.proto", comment="A dot.")
    text = render_class(ContractClass(message=message, union="Shape", kind="dot"))
    assert "class Dot(Shape):" in text
    assert 'kind: ClassVar[str] = "dot"' in text


def test_a_union_lists_its_arms() -> None:
    message = Message(name="Shape", file="rlmesh_api/v1/small.proto", comment="A shape.")
    text = render_class(ContractClass(message=message, arms=(("dot", "Dot", "A point."),)))
    assert "class Shape(Union[small_pb2.Shape]):" in text
    assert "`dot` (`Dot`): A point." in text
    assert "_arms: ClassVar[dict[str, type[Shape]]] = {}" in text


def test_an_enum_has_every_value_but_the_one_that_is_never_sent() -> None:
    values = (
        EnumValue(name="COLOR_UNSPECIFIED", number=0, comment="Never sent."),
        EnumValue(name="COLOR_DARK_RED", number=1, comment="Red."),
    )
    enum = Enum(name="Color", file="rlmesh_api/v1/small.proto", values=values, comment="A color.")
    assert render_enum(enum).startswith('''\
class Color(StrEnum):
    """A color."""

    DARK_RED = "dark_red"
    """Red."""

    def to_proto(self) -> small_pb2.Color.ValueType:
        """Return the number that stands for it in a message."""
        return small_pb2.Color.Value(f"COLOR_{self.name}")
''')
