from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from codegen.errors import SourceError
from codegen.metadata import load_metadata
from codegen.runtime._stability import Stability
from support.repository import ROOT

SCHEMA = ROOT / "schema" / "api_metadata.schema.json"

Data = dict[str, Any]


def problems_of(tmp_path: Path, text: str) -> tuple[str, ...]:
    path = tmp_path / "api_metadata.json"
    path.write_text(text)
    with pytest.raises(SourceError) as caught:
        load_metadata(path, SCHEMA)
    return caught.value.problems


def test_the_schema_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


def test_the_schema_knows_every_label() -> None:
    definitions = json.loads(SCHEMA.read_text())["$defs"]
    labels = {
        *definitions["label"]["enum"],
        *definitions["space"]["properties"]["stability"]["enum"],
    }
    assert labels == set(Stability)


DAMAGES: list[tuple[Callable[[Data], object], str]] = [
    (
        lambda data: data["modules"][0].update(stability="Stabel"),
        (
            "api_metadata.json: $.modules[0].stability: 'Stabel' is not one of "
            "['Stable', 'Experimental', 'Internal']"
        ),
    ),
    (
        lambda data: data["modules"][0]["exports"][0].pop("summary"),
        "api_metadata.json: $.modules[0].exports[0]: 'summary' is a required property",
    ),
    (
        lambda data: data["spaces"][1].update(arm=None),
        "api_metadata.json: $.spaces[1].arm: None is not of type 'string'",
    ),
    (
        lambda data: data.update(extra=1),
        "api_metadata.json: $: Additional properties are not allowed ('extra' was unexpected)",
    ),
]


@pytest.mark.parametrize(("damage", "problem"), DAMAGES)
def test_a_damaged_place_is_one_line(
    tmp_path: Path, metadata_data: Data, damage: Callable[[Data], object], problem: str
) -> None:
    damage(metadata_data)
    assert problems_of(tmp_path, json.dumps(metadata_data)) == (problem,)


def test_what_is_no_json_is_named_by_line_and_column(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, '{"spaces": [}')
    assert problem == "api_metadata.json: line 1 column 13: Expecting value"


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, '{"spaces": [\n  {"arm": 1, "arm": 2}]}')
    assert problem == (
        "api_metadata.json: line 2 column 3: the key 'arm' stands twice in one object; remove one"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.json: it cannot be read"):
        load_metadata(tmp_path / "nothing.json", SCHEMA)
