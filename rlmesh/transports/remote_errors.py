"""`RemoteEnvError`s that are also the built-in exception that the environment raised."""

from __future__ import annotations

import builtins
from functools import lru_cache
from typing import Any

from rlmesh.errors import RemoteEnvError

# How many combinations of built-in types are kept. Python has about 60 types, and an exception is
# mostly of one; the limit is for a hostile server, which may name any combination.
_MOST_CLASSES = 128


@lru_cache(maxsize=_MOST_CLASSES)
def remote_env_error(names: tuple[str, ...]) -> type[RemoteEnvError]:
    """The class of errors for an exception of certain built-in types.

    Args:
        names: The names of the types. What names no built-in `Exception` is ignored, so that no
            server can have a client raise a `SystemExit`.

    Returns:
        `RemoteEnvError`, or a subclass of it and of the types; the same for the same names, and
        called `RemoteEnvError` in every text.
    """
    found = (getattr(builtins, name, None) for name in names)
    types = tuple(
        kind
        for kind in dict.fromkeys(found)
        if isinstance(kind, type)
        and issubclass(kind, Exception)
        # These are bases already, or are built of other exceptions.
        and not issubclass(RemoteEnvError, kind)
        and not issubclass(kind, BaseExceptionGroup)
    )
    if not types:
        return RemoteEnvError
    known = tuple(kind.__name__ for kind in types)

    def reduce(error: RemoteEnvError) -> tuple[Any, ...]:
        return _restored, (known, error.args), vars(error)

    members: dict[str, Any] = {
        "__module__": RemoteEnvError.__module__,
        "__doc__": RemoteEnvError.__doc__,
        # What `str` gives must not depend on how a built-in exception shows its own arguments.
        "__str__": BaseException.__str__,
        "__reduce__": reduce,
    }
    if any(issubclass(kind, SyntaxError) for kind in types):
        # A traceback shows this of a syntax error.
        members["msg"] = property(BaseException.__str__)
    try:
        return type(RemoteEnvError.__name__, (RemoteEnvError, *types), members)
    except TypeError:
        # Python cannot combine these types, so the environment's exception is not of all of them.
        return RemoteEnvError


def _restored(names: tuple[str, ...], arguments: tuple[Any, ...]) -> RemoteEnvError:
    """Makes a copy of an error, for `pickle` and `copy`."""
    return remote_env_error(names)(*arguments)
