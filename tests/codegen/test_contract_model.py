from __future__ import annotations

from collections.abc import Callable

import pytest

from codegen.contract_model import ContractField, read_contract
from codegen.errors import SourceError
from codegen.model import Schema

ReadProto = Callable[[str], Schema]

TYPES = """
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; }
message Number {}
message ValueDict {}
message Part {}
"""


def field_of(read_proto: ReadProto, declaration: str) -> ContractField:
    schema = read_proto(f"{TYPES}message EnvContract {{ {declaration} it = 1; }}")
    [field] = read_contract(schema, "EnvContract").classes[-1].fields
    return field


@pytest.mark.parametrize(
    ("declaration", "annotation", "codec", "default"),
    [
        ("uint64", "int", "codec.UINT64", None),
        ("string", "str", "codec.STRING", None),
        ("bool", "bool", "codec.BOOL", "False"),
        ("optional double", "float | None", "codec.optional(codec.DOUBLE)", "None"),
        ("repeated uint64", "tuple[int, ...]", "codec.repeated(codec.UINT64)", None),
        ("repeated bool", "tuple[bool, ...]", "codec.repeated(codec.BOOL)", "()"),
        ("Color", "Color", "codec.member(Color)", None),
        ("Part", "Part", "record(Part)", None),
        ("optional Part", "Part | None", "codec.optional(record(Part))", "None"),
        ("Number", "int | float", "codec.NUMBER", "0"),
        ("repeated Number", "tuple[int | float, ...]", "codec.repeated(codec.NUMBER)", None),
        (
            "ValueDict",
            "Mapping[str, Any]",
            "codec.VALUE_DICT",
            "field(default_factory=dict[str, Any], hash=False)",
        ),
        (
            "optional ValueDict",
            "Mapping[str, Any] | None",
            "codec.optional(codec.VALUE_DICT)",
            "field(default=None, hash=False)",
        ),
    ],
)
def test_a_field_is_typed_as_the_rules_say(
    read_proto: ReadProto, declaration: str, annotation: str, codec: str, default: str | None
) -> None:
    field = field_of(read_proto, declaration)
    assert (field.annotation, field.codec, field.default) == (annotation, codec, default)


def test_a_union_stands_before_its_arms_and_they_before_their_holder(read_proto: ReadProto) -> None:
    schema = read_proto(
        "message EnvContract { Shape shape = 1; }\n"
        "message Pair { repeated Shape shapes = 1; }\n"
        "message Shape { oneof kind { Pair pair = 1; } }\n"
    )
    shape, pair, contract = read_contract(schema, "EnvContract").classes
    assert (shape.name, shape.arms) == ("Shape", (("pair", "Pair", ""),))
    assert (pair.name, pair.union, pair.kind) == ("Pair", "Shape", "pair")
    assert contract.name == "EnvContract"


def test_messages_out_of_reach_are_left_out(read_proto: ReadProto) -> None:
    schema = read_proto("message EnvContract { string id = 1; }\nmessage Other {}\n")
    assert [item.name for item in read_contract(schema, "EnvContract").classes] == ["EnvContract"]


@pytest.mark.parametrize(
    ("declarations", "problem"),
    [
        ("message EnvContract { bytes data = 1; }", "cannot be of type bytes"),
        ("message EnvContract { optional EnvContract it = 1; }", "it holds itself"),
        ("message EnvContract { string kind = 1; }", "use this name themselves"),
        ("message EnvContract { string class = 1; }", "use this name themselves"),
        ("message EnvContract { oneof a { string b = 1; string c = 2; } }", "in a oneof with"),
        (
            "message A {} message U { oneof which { A a = 1; } } message EnvContract { U u = 1; }",
            "its oneof is named which; name it kind",
        ),
        (
            (
                "message A {} message U { oneof kind { A a = 1; } }"
                "message EnvContract { U u = 1; A a = 2; }"
            ),
            "A: it is an arm in one place and not in another",
        ),
        (
            "enum E { E_NONE = 0; } message EnvContract { E e = 1; }",
            "E: its value 0 must be named E_UNSPECIFIED",
        ),
        ("message Other {}", "EnvContract: the schema lacks this message"),
    ],
)
def test_what_cannot_be_a_contract_class_is_refused(
    read_proto: ReadProto, declarations: str, problem: str
) -> None:
    schema = read_proto(declarations)
    with pytest.raises(SourceError, match=problem):
        read_contract(schema, "EnvContract")
