from __future__ import annotations

from codegen.render.stability import render_exports, render_spaces
from codegen.runtime._stability import Export, SpaceSupport, Stability


def test_a_space_is_a_row_under_the_name_of_its_class() -> None:
    row = SpaceSupport(
        gymnasium="Graph",
        rlmesh=None,
        kind=None,
        stability=Stability.NOT_SUPPORTED,
        notes="Refused.",
    )
    text = render_spaces([row])
    assert "'Graph': SpaceSupport(gymnasium='Graph', rlmesh=None, kind=None, " in text
    assert "stability=Stability.NOT_SUPPORTED, notes='Refused.'" in text


def test_exports_stand_under_the_name_of_their_module() -> None:
    row = Export(name="f", kind="function", stability=Stability.STABLE, summary="Does it.")
    text = render_exports({"rlmesh.some": [row]})
    assert "'rlmesh.some': (Export(name='f', kind='function', " in text
    assert "stability=Stability.STABLE, summary='Does it.'" in text
