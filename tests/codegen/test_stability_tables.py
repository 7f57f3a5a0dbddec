from __future__ import annotations

import dataclasses

import gymnasium

from rlmesh_api import contract
from rlmesh_api.stability import EXPORTS, SPACES, Stability


def test_every_space_of_gymnasium_has_a_row() -> None:
    names = {
        name
        for name in gymnasium.spaces.__all__
        if isinstance(getattr(gymnasium.spaces, name), type)
        and name not in {"Space", "GraphInstance"}
    }
    assert names == set(SPACES)


def test_supported_spaces_name_a_kind_of_the_contract() -> None:
    kinds = {
        each.kind
        for each in vars(contract).values()
        if "kind" in getattr(each, "__dict__", {}) and issubclass(each, contract.Space)
    }
    assert {row.kind for row in SPACES.values() if row.kind is not None} == kinds


def test_a_space_that_is_not_supported_has_no_kind() -> None:
    refused = {name for name, row in SPACES.items() if row.stability is Stability.NOT_SUPPORTED}
    assert refused == {"Graph", "Sequence", "OneOf"}
    assert all(SPACES[name].kind is None and SPACES[name].rlmesh is None for name in refused)


def test_exports_stand_by_module() -> None:
    exports = {row.name: row for row in EXPORTS["rlmesh"]}
    assert exports["EnvServer"].stability is Stability.STABLE
    assert exports["RlmeshError"].kind == "exception"


def test_the_tables_are_frozen() -> None:
    row = SPACES["Box"]
    assert dataclasses.is_dataclass(row)
    assert row == dataclasses.replace(row)
    assert hash(row) == hash(dataclasses.replace(row))
