from __future__ import annotations

from collections.abc import Callable

import pytest

from codegen.errors import SourceError
from codegen.model import Kind, Schema

ReadProto = Callable[[str], Schema]


def test_a_field_is_read_with_its_type_and_comment(read_proto: ReadProto) -> None:
    schema = read_proto(
        "// A thing.\nmessage Thing {\n  // How many.\n  repeated uint32 n = 3;\n}\n"
    )
    thing = schema.messages["Thing"]
    assert thing.comment == "A thing."
    [field] = thing.fields
    assert (field.name, field.number, field.type, field.kind) == ("n", 3, "uint32", Kind.SCALAR)
    assert field.repeated
    assert field.comment == "How many."


def test_optional_is_no_oneof(read_proto: ReadProto) -> None:
    schema = read_proto("message Thing { optional string name = 1; }")
    thing = schema.messages["Thing"]
    assert thing.oneofs == ()
    assert thing.fields[0].optional
    assert thing.fields[0].oneof is None


def test_a_message_with_one_oneof_of_messages_is_a_union(read_proto: ReadProto) -> None:
    schema = read_proto("message A {}\nmessage U { oneof kind { A a = 1; } }\n")
    assert schema.messages["U"].is_union
    assert not schema.messages["A"].is_union


def test_a_method_is_read_with_its_streams(read_proto: ReadProto) -> None:
    schema = read_proto(
        "message A {}\nservice S {\n  // Talks.\n  rpc M(stream A) returns (A);\n}\n"
    )
    [method] = schema.files[0].services[0].methods
    assert (method.request, method.response, method.comment) == ("A", "A", "Talks.")
    assert method.client_streaming
    assert not method.server_streaming


def test_the_file_comment_keeps_its_paragraphs_and_lists(read_proto: ReadProto) -> None:
    schema = read_proto("// Two:\n//\n// - one\n// - two\nmessage A {}\n")
    assert schema.files[0].comment == "A file."
    assert schema.messages["A"].comment == "Two:\n\n- one\n- two"


def test_a_nested_message_is_refused(read_proto: ReadProto) -> None:
    with pytest.raises(SourceError, match=r"A\.B is nested; move it to the top level"):
        read_proto("message A { message B {} }")


def test_what_protoc_refuses_is_told_in_its_words(read_proto: ReadProto) -> None:
    with pytest.raises(SourceError, match=r"small.proto:4:\d+: \"Nothing\" is not defined"):
        read_proto("message A { Nothing n = 1; }")
