"""Which contract classes there are, and how the fields of each are typed.

The rules: a message that holds nothing but one oneof of messages is a union, and the messages in
it are its arms. `optional` fields may be None. Flags default to False and repeated flags to none;
a type that the runtime knows by itself has the default of the table below; every other field is
required. A repeated field is a tuple.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass

from codegen.errors import SourceError
from codegen.model import Enum, Field, Kind, Message, Schema

ENV_CONTRACT, MODEL_CONTRACT = "EnvContract", "ModelContract"
ROOTS = (ENV_CONTRACT, MODEL_CONTRACT)
"""The messages that all contract classes are reachable from: one for each kind of endpoint."""

UNION_ONEOF = "kind"
"""What the oneof of a union is called, and the attribute by which its arms differ."""

RESERVED = frozenset(
    {
        "fingerprint",
        "from_dict",
        "from_json",
        "from_proto",
        "kind",
        "to_dict",
        "to_json",
        "to_proto",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """How values of one type of the schema stand in a contract class.

    Attributes:
        annotation: The Python type.
        codec: The runtime's codec, as an expression.
        default: The default of a field that is neither repeated nor optional, as an expression;
            None for a required one. A type of mutable values gives a factory.
        hashable: Whether its values can be hashed.
    """

    annotation: str
    codec: str
    default: str | None = None
    hashable: bool = True


_SCALARS = {
    "bool": FieldType(annotation="bool", codec="codec.BOOL", default="False"),
    "double": FieldType(annotation="float", codec="codec.DOUBLE"),
    "int32": FieldType(annotation="int", codec="codec.INT32"),
    "int64": FieldType(annotation="int", codec="codec.INT64"),
    "sint32": FieldType(annotation="int", codec="codec.INT32"),
    "sint64": FieldType(annotation="int", codec="codec.INT64"),
    "string": FieldType(annotation="str", codec="codec.STRING"),
    "uint32": FieldType(annotation="int", codec="codec.UINT32"),
    "uint64": FieldType(annotation="int", codec="codec.UINT64"),
}

_WELL_KNOWN = {
    "Number": FieldType(annotation="int | float", codec="codec.NUMBER", default="0"),
    "Value": FieldType(annotation="Any", codec="codec.VALUE", default="None", hashable=False),
    "ValueDict": FieldType(
        annotation="Mapping[str, Any]",
        codec="codec.VALUE_DICT",
        default="dict[str, Any]",
        hashable=False,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractField:
    """One field of a contract class, its default as an expression or None for a required one."""

    field: Field
    annotation: str
    codec: str
    default: str | None

    @property
    def name(self) -> str:
        """The field's name."""
        return self.field.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractClass:
    """One contract class.

    Attributes:
        message: The message that it mirrors.
        fields: Its fields; none for a union.
        union: The union that it is an arm of.
        kind: Which arm it is.
        arms: Its arms, for a union: the kind, the class and the comment of each.
    """

    message: Message
    fields: tuple[ContractField, ...] = ()
    union: str | None = None
    kind: str | None = None
    arms: tuple[tuple[str, str, str], ...] = ()

    @property
    def name(self) -> str:
        """The name of the class and of the message."""
        return self.message.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The contract classes and their enums, each after everything that it refers to.

    Attributes:
        roots: The classes that all others are reachable from.
        enums: The enums.
        classes: The classes.
    """

    roots: tuple[str, ...]
    enums: tuple[Enum, ...]
    classes: tuple[ContractClass, ...]


def read_contract(schema: Schema, *roots: str) -> Contract:
    """The contract classes of a schema.

    Args:
        schema: The schema.
        *roots: The messages from which they are reachable; none stands for all of `ROOTS`.

    Raises:
        SourceError: A message cannot be a contract class.
    """
    walk = _Walk(schema)
    roots = roots or ROOTS
    for root in roots:
        if root not in schema.messages:
            raise SourceError([f"{root}: the schema lacks this message; a contract begins with it"])
        walk.visit(schema.messages[root])
    if walk.problems:
        raise SourceError(walk.problems)
    return Contract(
        roots=roots, enums=tuple(walk.enums.values()), classes=tuple(walk.classes.values())
    )


class _Walk:
    """Visits messages depth first; a class is added after what its fields refer to."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.enums: dict[str, Enum] = {}
        self.classes: dict[str, ContractClass] = {}
        self.problems: list[str] = []
        self.open: list[str] = []

    def visit(self, message: Message, union: str | None = None, kind: str | None = None) -> None:
        if message.name in self.classes:
            if union != self.classes[message.name].union:
                self.problems.append(
                    f"{message.name}: it is an arm in one place and not in another"
                )
            return
        if message.name in self.open:
            self.problems.append(f"{message.name}: it holds itself; only a union may do that")
            return
        if message.is_union:
            self._visit_union(message)
            return
        self.open.append(message.name)
        fields = tuple(self._field(message, field) for field in message.fields)
        self.open.remove(message.name)
        self.classes[message.name] = ContractClass(
            message=message, fields=fields, union=union, kind=kind
        )

    def _visit_union(self, message: Message) -> None:
        if message.oneofs[0].name != UNION_ONEOF:
            self.problems.append(
                f"{message.name}: its oneof is named {message.oneofs[0].name}; "
                f"name it {UNION_ONEOF}, as in every union of the contract"
            )
        arms = tuple((arm.name, arm.type, arm.comment) for arm in message.fields)
        # The union stands before its arms, which derive from it and may hold it.
        self.classes[message.name] = ContractClass(message=message, arms=arms)
        for kind, name, _ in arms:
            self.visit(self.schema.messages[name], message.name, kind)

    def _visit_enum(self, enum: Enum) -> None:
        if enum.name not in self.enums and not enum.values[0].name.endswith("_UNSPECIFIED"):
            wanted = f"{enum.name.upper()}_UNSPECIFIED"
            self.problems.append(f"{enum.name}: its value 0 must be named {wanted}")
        self.enums[enum.name] = enum

    def _field(self, message: Message, field: Field) -> ContractField:
        place = f"{message.name}.{field.name}"
        if keyword.iskeyword(field.name) or field.name in RESERVED:
            self.problems.append(f"{place}: contract classes use this name themselves; rename it")
        if field.oneof is not None:
            self.problems.append(f"{place}: it is in a oneof with other fields; make a union of it")
        found = self._type(field)
        if found is None:
            self.problems.append(
                f"{place}: contract fields cannot be of type {field.type}; "
                "use another, or add it to codegen/contract_model.py"
            )
            found = FieldType(annotation="Any", codec="codec.VALUE")
        return _shaped(field, found)

    def _type(self, field: Field) -> FieldType | None:
        if field.kind is Kind.SCALAR:
            return _SCALARS.get(field.type)
        if field.kind is Kind.ENUM:
            self._visit_enum(self.schema.enums[field.type])
            return FieldType(annotation=field.type, codec=f"codec.member({field.type})")
        if field.type in _WELL_KNOWN:
            return _WELL_KNOWN[field.type]
        self.visit(self.schema.messages[field.type])
        return FieldType(annotation=field.type, codec=f"record({field.type})")


def _shaped(field: Field, base: FieldType) -> ContractField:
    """A field whose values are of a type."""
    annotation, codec, default = base.annotation, base.codec, base.default
    factory = default is not None and not base.hashable and default != "None"
    if field.repeated:
        annotation, codec = f"tuple[{annotation}, ...]", f"codec.repeated({codec})"
        default, factory = ("()" if field.type == "bool" else None), False
    elif field.optional:
        annotation, codec = f"{annotation} | None", f"codec.optional({codec})"
        default, factory = "None", False
    if not base.hashable:
        word = "default_factory" if factory else "default"
        default = f"field({f'{word}={default}, ' if default else ''}hash=False)"
    return ContractField(field=field, annotation=annotation, codec=codec, default=default)
