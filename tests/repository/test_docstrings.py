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
    if name == "rlmesh.sb3":
        pytest.importorskip("stable_baselines3")
    if name.startswith("rlmesh.ray"):
        pytest.skip("tests/ray_fleets/test_page.py runs them on its cluster")
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


# What the source of these functions seems to raise and does not.
_WRAPPER_ATTR = "rlmesh.client.env.RemoteEnv.{}_wrapper_attr"
NEVER_RAISED = {
    # A contract holds none but RLMesh's own spaces, all of them whole.
    "rlmesh.client.env.RemoteEnv.__init__": {"UnsupportedSpaceError"},
    "rlmesh.client.parallel_env.RemoteParallelEnv.__init__": {"UnsupportedSpaceError"},
    # Its argument is empty, and its name a text.
    "rlmesh.client.parallel_env.RemoteParallelEnv.state": {"ArgumentTypeError"},
    "rlmesh.client.vector_env.RemoteVectorEnv.__init__": {"UnsupportedSpaceError"},
    "rlmesh.client.vector_env.RemoteVectorEnv.reset": {"UnsupportedSpaceError"},
    "rlmesh.contract.comparison.compare_contracts": {
        "InvalidArgumentError",
        "UnsupportedSpaceError",
    },
    # hasattr refuses a name that is no text before the server is asked.
    _WRAPPER_ATTR.format("get"): {"ArgumentTypeError"},
    _WRAPPER_ATTR.format("has"): {"ArgumentTypeError"},
}


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
    documented = found.documented(RAISES) | NEVER_RAISED.get(found.function.path, set())
    assert not {name for name in RAISED.by(found.function) if not covers(documented, name)}


def test_errors_are_found_through_what_a_callable_calls() -> None:
    # `EnvServer.__init__` raises none of these itself.
    init = CALLABLES["rlmesh.EnvServer"].function
    assert init is not None
    assert {"InvalidCredentialsError", "AddressInUseError", "InvalidEnvError"} <= RAISED.by(init)
