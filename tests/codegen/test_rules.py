from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from codegen.metadata import parse_metadata
from codegen.model import Schema
from codegen.rules import offences

ReadProto = Callable[[str], Schema]
Data = dict[str, Any]

BOX = """\
// A space.
message Space {
  // Which.
  oneof kind {
    // A box.
    BoxSpace box = 1;
  }
}
// A box.
message BoxSpace {}
"""


def a_row(**changes: Any) -> Data:
    row = {
        "gymnasium": "Box",
        "rlmesh": "Box",
        "arm": "box",
        "stability": "Stable",
        "notes": "All.",
    }
    return row | changes


def an_export(name: str, **changes: Any) -> Data:
    return {"name": name, "kind": "class", "stability": "Stable", "summary": "It."} | changes


def a_module(name: str, *exports: Data, stability: str = "Stable") -> Data:
    return {"name": name, "stability": stability, "summary": "It.", "exports": list(exports)}


SPACES = a_module("rlmesh.spaces", an_export("Box"))


def offences_of(schema: Schema, spaces: list[Data], modules: list[Data]) -> list[str]:
    return offences(schema, parse_metadata({"spaces": spaces, "modules": modules}))


def test_sources_that_agree_give_no_offence(read_proto: ReadProto) -> None:
    assert offences_of(read_proto(BOX), [a_row()], [SPACES]) == []


def test_an_arm_without_a_row_is_named(read_proto: ReadProto) -> None:
    row = a_row(rlmesh=None, arm=None, stability="Not supported")
    [problem] = offences_of(read_proto(BOX), [row], [SPACES])
    assert problem == (
        "rlmesh_api/v1/small.proto: the arm Space.box has no row in api_metadata.json; "
        "add one to its spaces"
    )


def test_a_row_without_an_arm_is_named(read_proto: ReadProto) -> None:
    graph = a_row(gymnasium="Graph", rlmesh="Graph", arm="graph")
    module = a_module("rlmesh.spaces", an_export("Box"), an_export("Graph"))
    [problem] = offences_of(read_proto(BOX), [a_row(), graph], [module])
    assert problem == (
        "api_metadata.json: the space Graph names the arm graph, which the message Space lacks; "
        "add the arm, or mark the space as not supported"
    )


@pytest.mark.parametrize(
    ("spaces", "modules", "problem"),
    [
        ([a_row(), a_row(arm=None, rlmesh=None)], [SPACES], "the Gymnasium space Box is listed"),
        ([a_row(), a_row(gymnasium="Bo")], [SPACES], "the RLMesh space Box is listed twice"),
        ([a_row(), a_row(gymnasium="Bo", rlmesh=None)], [SPACES], "the arm box is listed twice"),
        (
            [a_row()],
            [SPACES, a_module("m", an_export("a")), a_module("m", an_export("b"))],
            "the module m is listed twice",
        ),
        (
            [a_row()],
            [SPACES, a_module("m", an_export("a"), an_export("a"))],
            "the export m.a is listed twice",
        ),
    ],
)
def test_a_duplicate_name_is_named(
    read_proto: ReadProto, spaces: list[Data], modules: list[Data], problem: str
) -> None:
    assert problem in "\n".join(offences_of(read_proto(BOX), spaces, modules))


def test_a_space_and_its_export_have_one_label(read_proto: ReadProto) -> None:
    module = a_module("rlmesh.spaces", an_export("Box", stability="Experimental"))
    [problem] = offences_of(read_proto(BOX), [a_row()], [module])
    assert "rlmesh.spaces.Box is Experimental and its space Stable" in problem


def test_a_space_without_an_export_is_named(read_proto: ReadProto) -> None:
    [problem] = offences_of(read_proto(BOX), [a_row()], [a_module("m", an_export("a"))])
    assert problem == "api_metadata.json: the space Box needs the export rlmesh.spaces.Box; list it"


def test_something_stable_that_refers_to_something_less_stable_is_refused(
    read_proto: ReadProto,
) -> None:
    module = a_module(
        "m",
        an_export("new", stability="Experimental"),
        an_export("old", refers_to=["m.new"]),
    )
    [problem] = offences_of(read_proto(BOX), [a_row()], [SPACES, module])
    assert problem == (
        "api_metadata.json: m.old is Stable and refers to m.new, which is Experimental; "
        "raise the label of the one or lower that of the other"
    )


def test_something_experimental_may_refer_to_something_stable(read_proto: ReadProto) -> None:
    module = a_module(
        "m", an_export("new", stability="Experimental", refers_to=["m.old"]), an_export("old")
    )
    assert offences_of(read_proto(BOX), [a_row()], [SPACES, module]) == []


def test_an_export_is_no_more_stable_than_its_module(read_proto: ReadProto) -> None:
    module = a_module("m", an_export("a"), stability="Experimental")
    [problem] = offences_of(read_proto(BOX), [a_row()], [SPACES, module])
    assert "m.a is Stable in a module that is Experimental" in problem


def test_an_alias_is_no_more_stable_than_its_module(read_proto: ReadProto) -> None:
    alias = {"name": "b", "alias_of": "rlmesh.spaces.Box"}
    module = a_module("m", alias, stability="Internal")
    [problem] = offences_of(read_proto(BOX), [a_row()], [SPACES, module])
    assert "m.b is Stable in a module that is Internal" in problem


@pytest.mark.parametrize(
    ("export", "problem"),
    [
        (an_export("a", refers_to=["m.none"]), "m.a refers to m.none, which is not listed"),
        ({"name": "a", "alias_of": "m.none"}, "m.a is an alias of m.none, which is not listed"),
        ({"name": "a", "alias_of": "m.a"}, "m.a is an alias of m.a, which is not listed"),
    ],
)
def test_a_reference_to_nothing_is_named(read_proto: ReadProto, export: Data, problem: str) -> None:
    [found] = offences_of(read_proto(BOX), [a_row()], [SPACES, a_module("m", export)])
    assert problem in found


@pytest.mark.parametrize(
    ("declaration", "place"),
    [
        ("message A {}", "message A"),
        ("// A.\nmessage A { string b = 1; }", "field A.b"),
        ("// A.\nmessage A { oneof b {\n// C.\nstring c = 1; } }", "oneof A.b"),
        ("enum E {\n// None.\nE_UNSPECIFIED = 0; }", "enum E"),
        ("// E.\nenum E { E_UNSPECIFIED = 0; }", "enum value E.E_UNSPECIFIED"),
        ("service S {}", "service S"),
        ("// S.\nservice S { rpc M(Space) returns (Space); }", "method S.M"),
    ],
)
def test_an_item_without_a_comment_is_named(
    read_proto: ReadProto, declaration: str, place: str
) -> None:
    [problem] = offences_of(read_proto(BOX + declaration), [a_row()], [SPACES])
    assert problem == (
        f"rlmesh_api/v1/small.proto: {place} has no comment; "
        "say what it means, and what its absence means"
    )
