"""What is less than Stable in the schema says so at the end of its comment."""

from __future__ import annotations

import pytest

from codegen.render.schema_pages import label_of
from codegen.runtime._stability import Stability
from support.repository import ROOT


@pytest.mark.parametrize(
    ("comment", "label"),
    [
        ("Asks a model. Experimental.", Stability.EXPERIMENTAL),
        ("Asks a model.\nExperimental.", Stability.EXPERIMENTAL),
        ("Asks an experimental model.", Stability.STABLE),
        ("Experimental. Asks a model.", Stability.STABLE),
        ("", Stability.STABLE),
    ],
)
def test_the_last_word_of_a_comment_is_its_label(comment: str, label: Stability) -> None:
    assert label_of(comment) is label


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("protocol", "ModelService"),
        ("protocol", "PredictCall"),
        ("protocol", "PredictResult"),
        ("protocol", "ModelStatus"),
        ("contract", "ModelContract"),
    ],
)
def test_the_pages_mark_what_belongs_to_models_as_experimental(page: str, name: str) -> None:
    text = (ROOT / f"generated/docs/{page}.md").read_text()
    section = text.partition(f"# `{name}`\n")[2].partition("\n#")[0]
    assert section.strip().startswith('<span class="stability stability-experimental">')
    assert "Experimental." not in section
