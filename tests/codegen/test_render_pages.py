from __future__ import annotations

from codegen.contract_model import ContractClass, ContractField
from codegen.metadata import ExportRow, FindingRow, ModuleRow, PolicyRow
from codegen.model import (
    Enum,
    EnumValue,
    Field,
    File,
    Kind,
    Message,
    Method,
    Oneof,
    Service,
)
from codegen.render import markdown as md
from codegen.render.api_pages import render_module, render_reference_page
from codegen.render.metadata_pages import render_conformance_page, render_spaces_page
from codegen.render.schema_pages import (
    render_class,
    render_enum,
    render_errors_page,
    render_file,
    render_message,
)
from codegen.runtime._stability import Export, SpaceSupport, Stability
from support.repository import ROOT

STABLE = '<span class="stability stability-stable">Stable</span>'
NUMBER = Field(name="n", number=2, kind=Kind.SCALAR, type="uint64", comment="How | many.")
RED = EnumValue(name="COLOR_RED", number=1, comment="Red.")
COLOR = Enum(
    name="Color",
    file="small.proto",
    comment="A color.",
    values=(EnumValue(name="COLOR_UNSPECIFIED", number=0, comment="Never."), RED),
)


def test_text_means_itself_and_code_stays_code() -> None:
    assert md.escaped("2**63 or `2**63` of a_b, _c_") == r"2\*\*63 or `2**63` of a_b, \_c\_"


def test_a_label_is_a_badge() -> None:
    assert md.badge(Stability.NOT_SUPPORTED) == (
        '<span class="stability stability-not-supported">Not supported</span>'
    )


def test_a_space_is_a_row_of_the_table() -> None:
    row = SpaceSupport(
        gymnasium="Box", rlmesh="Box", kind="box", stability=Stability.STABLE, notes="All of it."
    )
    page = render_spaces_page([row])
    assert f"| `Box` | `Box` | {STABLE} | All of it. |" in page
    assert Stability.STABLE.meaning in page
    assert Stability.EXPERIMENTAL.meaning not in page


def test_an_alias_tells_what_it_stands_for() -> None:
    module = ModuleRow(
        name="rlmesh",
        stability=Stability.STABLE,
        summary="All.",
        exports=(ExportRow(name="E", alias_of="rlmesh.errors.E"),),
    )
    shown = Export(name="E", kind="exception", stability=Stability.STABLE, summary="Bad.")
    text = render_module(module, [shown])
    assert text.startswith(
        f"## `rlmesh`\n\n{STABLE} All. [Signatures of `rlmesh`](api/rlmesh.md).\n\n"
    )
    assert f"| `E` | exception | {STABLE} | Bad. The same as `rlmesh.errors.E`. |" in text


def test_a_reference_page_has_a_directive_for_each_export_that_is_no_alias() -> None:
    module = ModuleRow(
        name="rlmesh",
        stability=Stability.STABLE,
        summary="All.",
        exports=(
            ExportRow(name="C", kind="class", stability=Stability.STABLE, summary="Good."),
            ExportRow(name="E", alias_of="rlmesh.errors.E"),
        ),
    )
    shown = [
        Export(name="C", kind="class", stability=Stability.STABLE, summary="Good."),
        Export(name="E", kind="exception", stability=Stability.STABLE, summary="Bad."),
    ]
    page = render_reference_page(module, shown)
    assert ".. autoclass:: rlmesh.C\n   :members:\n" in page
    assert ":py:exc:`rlmesh.errors.E`" in page
    assert "autoexception" not in page


def test_a_contract_field_leads_to_its_type() -> None:
    field = Field(
        name="parts", number=1, kind=Kind.MESSAGE, type="Part", repeated=True, comment="All."
    )
    shown = ContractField(field=field, annotation="tuple[Part, ...]", codec="", default=None)
    message = Message(name="Thing", file="small.proto", comment="A thing.")
    text = render_class(ContractClass(message=message, fields=(shown,)), {"Part"})
    assert "| `parts` | tuple of [`Part`](#part) | required | All. |" in text


def test_a_message_lists_its_fields_and_its_oneofs() -> None:
    chosen = Field(
        name="part", number=1, kind=Kind.MESSAGE, type="Part", oneof="one", comment="It."
    )
    message = Message(
        name="Thing",
        file="small.proto",
        comment="A thing.",
        fields=(chosen, NUMBER),
        oneofs=(Oneof(name="one", comment="Which."),),
    )
    text = render_message(message)
    assert "| 2 | `n` | `uint64` | How \\| many. |" in text
    assert "At most one of these, `one`: Which.\n\n| Number |" in text
    assert text.startswith(f"### `Thing`\n\n{STABLE} A thing.\n\n")
    assert text.endswith("| 1 | `part` | [`Part`](#part) | It. |")


def test_the_message_of_an_experimental_space_says_so() -> None:
    experimental = md.badge(Stability.EXPERIMENTAL)
    for name in ("contract", "protocol"):
        page = (ROOT / f"generated/docs/{name}.md").read_text()
        assert f"# `TextSpace`\n\n{experimental} " in page
        assert f"# `BoxSpace`\n\n{STABLE} " in page


def test_a_message_without_fields_says_so() -> None:
    assert render_message(Message(name="Nil", file="", comment="Nil.")).endswith("no fields.")


def test_an_enum_lists_its_values_with_their_numbers() -> None:
    assert "| 1 | `COLOR_RED` | Red. |" in render_enum(COLOR)


def test_a_service_tells_which_side_streams() -> None:
    method = Method(name="Go", request="A", response="B", client_streaming=True, comment="Goes.")
    service = Service(name="Svc", comment="All.", methods=(method,))
    text = render_file(
        File(path="s.proto", package="p", comment="A file.", services=(service,)), {}
    )
    assert "| `Go` | stream of [`A`](#a) | [`B`](#b) | Goes. |" in text


def test_error_codes_stand_without_their_prefix() -> None:
    assert "| 1 | `RED` | Red. |" in render_errors_page(COLOR, [])


def test_the_conformance_page_has_a_row_for_each_finding_and_policy() -> None:
    page = render_conformance_page(
        [PolicyRow(word="warn", meaning="Tell.")],
        [FindingRow(kind="nan", decided_by="always rejected", meaning="NaN.")],
    )
    assert "| `nan` | always rejected | NaN. |" in page
    assert "| `warn` | Tell. |" in page
