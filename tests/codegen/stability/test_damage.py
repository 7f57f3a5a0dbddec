"""Damaged sources and records give one line each, that says where and what is expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.stability.gate import check
from support.api_copy import Copy, parts_that_read
from support.api_edits import CONTRACT, METADATA, SPACE_PROTO, Change, append, delete, swap

JSON_SCHEMA = "schema/api_metadata.schema.json"
RECORD = "baseline/record.json"
STUB = "baseline/api/rlmesh.errors.pyi"
FROZEN_PROTO = "baseline/schema/rlmesh_api/v1/space.proto"


def overwrite(file: str, content: bytes) -> Change:
    def change(root: Path) -> None:
        (root / file).write_bytes(content)

    return change


def halve(file: str) -> Change:
    def change(root: Path) -> None:
        content = (root / file).read_bytes()
        (root / file).write_bytes(content[: len(content) // 2])

    return change


DAMAGES: list[tuple[str, Change, str]] = [
    ("metadata: empty", overwrite(METADATA, b""), "api_metadata.json: line 1 column 1: Expecting"),
    (
        "metadata: no JSON",
        swap(METADATA, '"spaces": [', '"spaces": [,'),
        "api_metadata.json: line 3",
    ),
    ("metadata: half of it", halve(METADATA), "api_metadata.json: line "),
    (
        "metadata: no UTF-8",
        overwrite(METADATA, b'{\n"\xff": 1}'),
        "api_metadata.json: line 2: expec",
    ),
    ("metadata: a list", overwrite(METADATA, b"[]"), "api_metadata.json: $: [] is not of type"),
    (
        "metadata: too deep",
        overwrite(METADATA, b"[" * 100_000),
        "api_metadata.json: expected less than a hundred nested values",
    ),
    (
        "metadata: a key twice",
        swap(METADATA, '"spaces": [', '"spaces": [],\n  "spaces": ['),
        "api_metadata.json: line 1 column 1: the key 'spaces' stands twice in one object",
    ),
    (
        "metadata: a wrong label",
        swap(
            METADATA,
            '"name": "rlmesh",\n      "stability": "Stable"',
            '"name": "rlmesh",\n      "stability": "stable"',
        ),
        "api_metadata.json: $.modules[0].stability: 'stable' is not one of ['Stable', ",
    ),
    (
        "metadata: no sentence",
        swap(METADATA, '"Uniform and array bounds are accepted."', '"Bounds"'),
        (
            r"api_metadata.json: $.spaces[0].notes: 'Bounds' does not match '^[^\\n]*\\.$': "
            "expected: One sentence or a few, on one line, with a full stop."
        ),
    ),
    ("metadata: not there", delete(METADATA), "api_metadata.json: it cannot be read: No such file"),
    ("JSON Schema: empty", overwrite(JSON_SCHEMA, b""), "schema/api_metadata.schema.json: line 1"),
    (
        "JSON Schema: no schema",
        swap(JSON_SCHEMA, '"required": ["spaces"', '"required": 3, "requires": ["spaces"'),
        "schema/api_metadata.schema.json: $.required: 3 is not of type 'array'; a JSON Schema is",
    ),
    (
        "JSON Schema: a reference to nothing",
        swap(JSON_SCHEMA, '"$ref": "#/$defs/module"', '"$ref": "#/$defs/nothing"'),
        "schema/api_metadata.schema.json: a $ref leads to /$defs/nothing; expected a definition",
    ),
    (
        "proto: empty",
        overwrite(SPACE_PROTO, b""),
        "rlmesh_api/v1/space.proto: expected a line `syntax",
    ),
    (
        "proto: no UTF-8",
        overwrite(SPACE_PROTO, b"\n// \xff\n"),
        "rlmesh_api/v1/space.proto: line 2",
    ),
    ("proto: half of it", halve(SPACE_PROTO), "protoc: rlmesh_api/v1/space.proto:"),
    (
        "proto: a brace too many",
        swap(SPACE_PROTO, "message BoxSpace {", "message BoxSpace {{"),
        "protoc: rlmesh_api/v1/space.proto:77:",
    ),
    (
        "record: not there",
        delete(RECORD),
        "baseline/record.json: expected what `make baseline` writes",
    ),
    ("record: no JSON", overwrite(RECORD, b"{"), "baseline/record.json: line 1 column 2"),
    (
        "record: another shape",
        swap(RECORD, '"breaks": []', '"breaks": {}'),
        "baseline/record.json: $.breaks: ",
    ),
    ("stub: no Python", append(STUB, "class\n"), "baseline/api/rlmesh.errors.pyi:"),
    (
        "stub: no label",
        swap(STUB, "@Stable\nclass StateError", "class StateError"),
        "baseline/api/rlmesh.errors.pyi:",
    ),
    (
        "stub: empty",
        overwrite(STUB, b""),
        "baseline/api/rlmesh.errors.pyi:1: expected `__stability__ = ",
    ),
    (
        "stub: no UTF-8",
        overwrite(STUB, b"\xff"),
        "baseline/api/rlmesh.errors.pyi: expected a stub of Py",
    ),
    ("package: no Python", append(CONTRACT, "class\n"), "generated/rlmesh_api/contract.py"),
    (
        "package: half of it",
        swap("rlmesh/__init__.py", "__all__ = [", "__all__ = [["),
        "rlmesh/__init__.py:",
    ),
]


@pytest.mark.parametrize(
    ("change", "start"),
    [pytest.param(change, start, id=name) for name, change, start in DAMAGES],
)
def test_a_damaged_place_is_named(copy: Copy, change: Change, start: str) -> None:
    change(copy.root)
    lines = check(copy.root, parts_that_read(copy.changed()))
    assert lines
    assert lines[0].startswith(start), lines
    assert not [line for line in lines if "\n" in line]


def test_a_damaged_frozen_schema_is_named_by_buf(copy: Copy) -> None:
    swap(FROZEN_PROTO, "message BoxSpace {", "messag BoxSpace {")(copy.root)
    by_digest, by_buf = check(copy.root)
    assert by_digest.startswith("baseline/schema/rlmesh_api/v1/space.proto: expected only what ")
    assert by_buf.startswith("baseline/schema/rlmesh_api/v1/space.proto:77: expected what ")


def test_a_damaged_configuration_of_buf_is_named(copy: Copy) -> None:
    overwrite("buf.yaml", b"versio: v2\n")(copy.root)
    [line] = check(copy.root)
    assert line.startswith("buf: decode buf.yaml: ")
