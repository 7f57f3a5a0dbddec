"""The tree of errors: what every class promises, wherever it is raised."""

from __future__ import annotations

import builtins
import copy
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from rlmesh import errors
from rlmesh.contract import ContractDifference
from rlmesh.errors import (
    ContractMismatchError,
    InvalidObservationError,
    RemoteEnvError,
    RlmeshError,
)
from rlmesh.transports.failures import error_from_failure
from rlmesh.transports.remote_errors import EXCEPTION_GROUPS, remote_error
from rlmesh_api.v1 import session_pb2
from support.notes import add_note, notes_of

CLASSES: list[type[RlmeshError]] = [getattr(errors, name) for name in errors.__all__]
BUILT_IN = {
    "InvalidAddressError": ValueError,
    "InvalidArgumentError": ValueError,
    "UnexposedAttributeError": AttributeError,
    "ArgumentTypeError": TypeError,
    "InvalidCredentialsError": ValueError,
    "InvalidEnvError": TypeError,
    "UnsupportedSpaceError": TypeError,
    "WrongEndpointKindError": TypeError,
    "ContractMismatchError": ValueError,
    "InvalidActionError": ValueError,
    "InvalidObservationError": ValueError,
    "InvalidResultError": ValueError,
    "RemoteEnvError": RuntimeError,
    "EndpointUnreachableError": ConnectionError,
    "EndpointBusyError": ConnectionError,
    "EndpointDrainingError": ConnectionError,
    "ConnectionLostError": ConnectionError,
    "AddressInUseError": ConnectionError,
    "AccessDeniedError": PermissionError,
    "AuthenticationError": PermissionError,
    "TlsError": ConnectionError,
    "ProtocolError": ConnectionError,
    "CallTimeoutError": TimeoutError,
    "StateError": RuntimeError,
}


def by_pickle(error: RlmeshError) -> RlmeshError:
    copied: RlmeshError = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    return copied


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_of_the_tree_and_says_what_it_was_given(kind: type[RlmeshError]) -> None:
    error = kind("the thing; do that")
    assert isinstance(error, RlmeshError)
    assert str(error) == "the thing; do that"


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_error_is_the_built_in_one_that_fits(name: str) -> None:
    assert issubclass(getattr(errors, name), BUILT_IN[name])


@pytest.mark.parametrize("how", [by_pickle, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling_and_copying(kind: type[RlmeshError], how: object) -> None:
    assert callable(how)
    error = kind("the thing; do that")
    add_note(error, "in worker 3")
    copied = how(error)
    assert type(copied) is kind
    assert str(copied) == str(error)
    assert copied.args == error.args
    assert notes_of(copied) == ["in worker 3"]


@pytest.mark.parametrize("how", [by_pickle, copy.copy, copy.deepcopy])
def test_an_environments_exception_keeps_what_it_tells(how: Callable[[Any], Any]) -> None:
    error = RemoteEnvError(
        "step() raised", exception_type="ValueError", exception_message="no", remote_traceback="T"
    )
    copied = how(error)
    told = (copied.exception_type, copied.exception_message, copied.remote_traceback)
    assert told == ("ValueError", "no", "T")
    assert how(InvalidObservationError("NaN", remote_traceback="T")).remote_traceback == "T"


@pytest.mark.parametrize("how", [by_pickle, copy.copy, copy.deepcopy])
def test_a_mismatch_keeps_its_differences(how: Callable[[Any], Any]) -> None:
    difference = ContractDifference(place="$.id", aspect="id", old="a", new="b", breaking=True)
    assert how(ContractMismatchError("no", differences=(difference,))).differences == (difference,)


def test_the_tree_in_the_docstring_names_every_class_in_its_place() -> None:
    assert errors.__doc__ is not None
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        words = line.replace("├──", "").replace("└──", "").replace("│", " ").split()
        if words and words[0] in errors.__all__:
            depth = (len(line) - len(line.lstrip(" │├└─")) - 4) // 4
            above[depth:] = [words[0]]
            drawn[words[0]] = above[depth - 1] if depth else ""
    assert drawn.keys() == set(errors.__all__)
    for name, parent in drawn.items():
        if parent:
            assert issubclass(getattr(errors, name), getattr(errors, parent))


BUILT_IN_EXCEPTIONS = sorted(
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and kind.__name__ == name
    and not issubclass(kind, EXCEPTION_GROUPS)
)


@pytest.mark.parametrize("how", [by_pickle, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("name", BUILT_IN_EXCEPTIONS)
def test_an_error_of_the_environment_is_of_the_built_in_type_that_it_was(
    name: str, how: Callable[[Any], Any]
) -> None:
    error = error_from_failure(
        session_pb2.Failure(
            code=session_pb2.ERROR_CODE_ENVIRONMENT,
            message="step() raised",
            exception_type=name,
            builtin_types=[name],
        ),
        "there",
    )
    add_note(error, "in worker 3")
    for one in (error, how(error)):
        assert isinstance(one, getattr(builtins, name))
        assert isinstance(one, RemoteEnvError)
        assert type(one).__name__ == "RemoteEnvError"
        assert (str(one), one.exception_type) == ("step() raised", name)
        assert traceback.format_exception_only(one)[:1] == [
            "rlmesh.errors.RemoteEnvError: step() raised\n"
        ]
        assert notes_of(one) == ["in worker 3"]
        assert type(one) is type(error)


@pytest.mark.parametrize(
    "names",
    [
        ("SystemExit",),
        ("KeyboardInterrupt",),
        ("GeneratorExit",),
        ("BaseException",),
        ("ExceptionGroup",),
        ("Exception",),
        ("RuntimeError",),
        ("print", "int", "", "no such thing"),
        ("OSError", "SyntaxError"),
    ],
    ids=repr,
)
def test_what_is_no_exception_to_catch_as_such_is_a_remote_env_error_only(
    names: tuple[str, ...],
) -> None:
    assert remote_error(RemoteEnvError, names) is RemoteEnvError
