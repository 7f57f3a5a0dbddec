"""Errors that are also the built-in exception that an environment or a model raised."""

from __future__ import annotations

import builtins
from functools import lru_cache
from typing import Any, TypeVar

from rlmesh.errors import RemoteEnvError, RemoteModelError

Remote = TypeVar("Remote", RemoteEnvError, RemoteModelError)

# Python 3.10 has no exceptions that are built of others.
EXCEPTION_GROUPS: Any = getattr(builtins, "BaseExceptionGroup", ())

# How many combinations of built-in types are kept. Python has about 60 types, and an exception is
# mostly of one; the limit is for a hostile server, which may name any combination.
_MOST_CLASSES = 128


def remote_error(base: type[Remote], names: tuple[str, ...]) -> type[Remote]:
    """The class of errors for an exception of certain built-in types.

    Args:
        base: The error of RLMesh.
        names: The names of the types. What names no built-in `Exception` is ignored, so that no
            server can have a client raise a `SystemExit`.

    Returns:
        The base, or a subclass of it and of the types; the same for the same names, and called as
        the base in every text.
    """
    # mypy takes no class for something that can be hashed.
    key: Any = base
    kind: type[Remote] = _class_of(key, names)
    return kind


@lru_cache(maxsize=_MOST_CLASSES)
def _class_of(base: type[Any], names: tuple[str, ...]) -> type[Any]:
    found = (getattr(builtins, name, None) for name in names)
    types = tuple(
        kind
        for kind in dict.fromkeys(found)
        if isinstance(kind, type)
        and issubclass(kind, Exception)
        # These are bases already, or are built of other exceptions.
        and not issubclass(base, kind)
        and not issubclass(kind, EXCEPTION_GROUPS)
    )
    if not types:
        return base
    known = tuple(kind.__name__ for kind in types)

    def reduce(error: Any) -> tuple[Any, ...]:
        made: tuple[type[Any], tuple[str, ...], tuple[Any, ...]] = base, known, error.args
        state: dict[str, Any] = {**error.__dict__}
        return _restored, made, state

    members: dict[str, Any] = {
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        # What `str` gives must not depend on how a built-in exception shows its own arguments.
        "__str__": BaseException.__str__,
        "__reduce__": reduce,
    }
    if any(issubclass(kind, SyntaxError) for kind in types):
        # A traceback shows this of a syntax error.
        members["msg"] = property(BaseException.__str__)
    try:
        return type(base.__name__, (base, *types), members)
    except TypeError:
        # Python cannot combine these types, so the exception is not of all of them.
        return base


def _restored(base: type[Any], names: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:
    """Makes a copy of an error, for `pickle` and `copy`."""
    return remote_error(base, names)(*arguments)
