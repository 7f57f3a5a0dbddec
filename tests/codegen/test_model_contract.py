"""The contract of a model: generated as that of an environment is."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rlmesh.contract import compare_contracts, read_model_contract, received_model_contract
from rlmesh_api.contract import ModelContract
from rlmesh_api.v1 import contract_pb2
from support.contracts import a_model_contract, at, changed, full_model_contract, leaf_places
from support.models import OfChunks, OfOne, Recurrent

SCHEMA = json.loads(
    resources.files("rlmesh_api").joinpath("model_contract.schema.json").read_text("utf-8")
)
VALIDATOR: Any = Draft202012Validator(SCHEMA)
CONTRACTS = [
    full_model_contract(),
    a_model_contract(),
    *(read_model_contract(model) for model in (OfOne(), OfChunks(), Recurrent())),
]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_contract_fits_the_schema_and_reads_back(contract: ModelContract) -> None:
    assert not list(VALIDATOR.iter_errors(json.loads(contract.to_json())))
    assert ModelContract.from_json(contract.to_json()) == contract
    assert ModelContract.from_dict(contract.to_dict()) == contract
    wire = contract.to_proto().SerializeToString()
    assert received_model_contract(contract_pb2.ModelContract.FromString(wire)) == contract


def test_the_schema_refuses_what_reading_refuses() -> None:
    data = full_model_contract().to_dict()
    for place, other in (("horizon", "4"), ("keeps_state", 1), ("id", None), ("more", 1)):
        wrong = {**data, place: other}
        assert list(VALIDATOR.iter_errors(wrong)), place
        with pytest.raises(ValueError, match=place):
            ModelContract.from_dict(wrong)


def variations(contract: ModelContract) -> list[ModelContract]:
    data, found = contract.to_dict(), list[ModelContract]()
    for place in leaf_places(data):
        value = data
        for key in place:
            value = value[key]
        for other in changed(value):
            try:
                variation = ModelContract.from_dict(at(data, place, other))
            except ValueError:
                continue
            if variation != contract:
                found.append(variation)
    return found


def test_every_change_has_another_fingerprint_and_is_a_difference() -> None:
    contract = full_model_contract()
    others = variations(contract)
    assert len(others) > 50
    assert contract.fingerprint not in {other.fingerprint for other in others}
    assert all(compare_contracts(contract, other) for other in others)
    assert compare_contracts(contract, contract) == ()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"horizon": 0}, r"\$\.horizon: expected 1 or more, got 0"),
        ({"max_batch_size": 0}, r"\$\.max_batch_size: expected 1 or more, got 0"),
        ({"horizon": 2**32 - 1}, r"\$\.action_space: expected a space whose values"),
    ],
)
def test_a_contract_that_no_model_can_have_is_refused(changes: dict[str, Any], text: str) -> None:
    message = a_model_contract(**changes).to_proto()
    with pytest.raises(ValueError, match=text):
        received_model_contract(message)
