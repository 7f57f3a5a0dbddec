"""The examples in docstrings run, and docstrings name every parameter and every error."""

from __future__ import annotations

import doctest
import importlib

import griffe
import pytest

from support.docstrings import Raised, covers, public_callables
from support.repository import ROOT

EXAMPLES = sorted(
    ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
    for folder in (ROOT, ROOT / "generated")
    for path in folder.glob("rlmesh*/**/*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_module_run(name: str) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(example, out=report.append)
    assert not report, "".join(report)


CALLABLES = public_callables()
RAISED = Raised()
PARAMETERS = griffe.DocstringSectionKind.parameters
ATTRIBUTES = griffe.DocstringSectionKind.attributes
RAISES = griffe.DocstringSectionKind.raises


@pytest.mark.parametrize("path", CALLABLES)
def test_every_parameter_of_a_public_callable_is_documented(path: str) -> None:
    found = CALLABLES[path]
    if found.same_as is not None:
        assert found.parameters() == CALLABLES[found.same_as].parameters()
        return
    # The fields of a data class are its parameters.
    documented = found.documented(PARAMETERS) | found.documented(ATTRIBUTES)
    assert found.parameters() <= documented


@pytest.mark.parametrize("path", CALLABLES)
def test_a_public_callable_documents_no_parameter_that_it_lacks(path: str) -> None:
    assert CALLABLES[path].documented(PARAMETERS) <= CALLABLES[path].parameters()


@pytest.mark.parametrize("path", CALLABLES)
def test_every_error_that_a_public_callable_raises_is_documented(path: str) -> None:
    found = CALLABLES[path]
    if found.function is None or found.same_as is not None:
        return
    documented = found.documented(RAISES)
    assert not {name for name in RAISED.by(found.function) if not covers(documented, name)}
