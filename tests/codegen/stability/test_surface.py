"""What the source says of the exports is what running programs find."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import griffe
import pytest

from codegen.generate import load
from codegen.stability.source_package import Package
from codegen.stability.stubs import Stubs, read_stub
from codegen.stability.surface import Surface
from support.repository import ROOT

NEEDS = {
    "rlmesh.jax": "jax",
    "rlmesh.openpi": "websockets",
    "rlmesh.ray": "ray",
    "rlmesh.sb3": "stable_baselines3",
    "rlmesh.torch": "torch",
}


@pytest.fixture(scope="module")
def stubs() -> Stubs:
    surface = Surface(Package(ROOT), load(ROOT))
    return {name: read_stub(name, text, name) for name, text in surface.modules.items()}


def shape_of(function: griffe.Function) -> list[tuple[str, str, bool]]:
    """The parameters: the name and kind of each, and whether it has a default."""
    return [
        (each.name, str(each.kind), not each.required and not each.name.startswith("*"))
        for each in function.parameters
        if each.name not in {"self", "cls"}
    ]


def found_shape(function: Any) -> list[tuple[str, str, bool]]:
    kinds = griffe.ParameterKind
    words = {
        inspect.Parameter.POSITIONAL_ONLY: kinds.positional_only,
        inspect.Parameter.POSITIONAL_OR_KEYWORD: kinds.positional_or_keyword,
        inspect.Parameter.VAR_POSITIONAL: kinds.var_positional,
        inspect.Parameter.KEYWORD_ONLY: kinds.keyword_only,
        inspect.Parameter.VAR_KEYWORD: kinds.var_keyword,
    }
    rest = {kinds.var_positional, kinds.var_keyword}
    return [
        (
            each.name,
            str(words[each.kind]),
            each.default is not inspect.Parameter.empty or words[each.kind] in rest,
        )
        for each in inspect.signature(function).parameters.values()
        if each.name not in {"self", "cls"}
    ]


def test_signatures_and_members_are_what_programs_find(stubs: Stubs) -> None:
    compared = 0
    for name, stub in stubs.items():
        if name in NEEDS:
            pytest.importorskip(NEEDS[name])
        module = importlib.import_module(name)
        for item in stub.module.members.values():
            value = getattr(module, item.name, None)
            if isinstance(item, griffe.Function):
                assert shape_of(item) == found_shape(value), item.path
                compared += 1
            elif isinstance(item, griffe.Class):
                compared += check_class(item, value)
    assert compared > 100


def check_class(item: griffe.Class, cls: Any) -> int:
    compared = 0
    for member in item.members.values():
        if isinstance(member, griffe.Function):
            assert shape_of(member) == found_shape(getattr(cls, member.name)), member.path
            compared += 1
        elif "property" in member.labels:
            assert inspect.isdatadescriptor(getattr(cls, member.name)), member.path
    bases = {base.__name__ for base in cls.__mro__}
    assert {str(base).partition("[")[0].rpartition(".")[2] for base in item.bases} <= bases | {
        "NamedTuple"
    }
    return compared


def test_aliases_stand_for_what_the_record_says(stubs: Stubs) -> None:
    for name in ("rlmesh", "rlmesh.numpy"):
        module = importlib.import_module(name)
        for item in stubs[name].module.members.values():
            if isinstance(item, griffe.Attribute) and isinstance(item.value, griffe.ExprAttribute):
                home, _, own = str(item.value).rpartition(".")
                assert getattr(module, item.name) is getattr(importlib.import_module(home), own)
