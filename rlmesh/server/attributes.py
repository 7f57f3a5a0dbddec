"""Attributes of the environment that a client may read, set or call by name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rlmesh.errors import ArgumentTypeError
from rlmesh_api.v1 import session_pb2


class HiddenAttributeError(Exception):
    """The server does not expose an attribute of this name."""


def check_exposed(names: object) -> frozenset[str]:
    """The names that a server exposes.

    Raises:
        ArgumentTypeError: If they are not a collection of str.
    """
    if isinstance(names, Collection) and not isinstance(names, (str, bytes)):
        if all(isinstance(name, str) for name in names):
            return frozenset(names)
    raise ArgumentTypeError(f"expose must be a collection of attribute names, got {names!r:.80}")


class Attributes:
    """Does what `get_attr`, `set_attr` and `call` do, for the names that the server exposes."""

    def __init__(self, env: Any, exposed: frozenset[str], *, vector: bool) -> None:
        self._env = env
        self._exposed = exposed
        self._vector = vector

    def answer(self, verb: session_pb2.AttributeVerb, name: str, argument: Any) -> Any:
        """Reads, sets or calls an attribute.

        Raises:
            HiddenAttributeError: If the server does not expose the name.
        """
        if name not in self._exposed:
            known = ", ".join(sorted(self._exposed)) or "none"
            raise HiddenAttributeError(
                f"the server exposes no attribute {name!r} (exposed: {known}); name it in "
                f"EnvServer(..., expose=(...))"
            )
        if verb == session_pb2.ATTRIBUTE_VERB_SET:
            return self._set(name, argument)
        if verb == session_pb2.ATTRIBUTE_VERB_CALL:
            arguments, keywords = argument
            if self._vector:
                return self._env.call(name, *arguments, **keywords)
            return self._get(name)(*arguments, **keywords)
        return self._env.get_attr(name) if self._vector else self._get(name)

    def _get(self, name: str) -> Any:
        # Gymnasium's wrappers look for an attribute in what they wrap; a plain object has no such.
        if hasattr(self._env, "get_wrapper_attr"):
            return self._env.get_wrapper_attr(name)
        return getattr(self._env, name)

    def _set(self, name: str, value: Any) -> None:
        if self._vector:
            self._env.set_attr(name, value)
        elif hasattr(self._env, "set_wrapper_attr"):
            self._env.set_wrapper_attr(name, value)
        else:
            setattr(self._env, name, value)
