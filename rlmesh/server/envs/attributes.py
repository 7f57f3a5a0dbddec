"""Attributes of the environment that a client may read, set or call by name."""

from __future__ import annotations

from typing import Any

from rlmesh.codec.infos.packing import pack_listing
from rlmesh.codec.infos.type_guards import is_collection
from rlmesh.contract.exposed_names import is_client_name
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.foreign_text import one_line
from rlmesh_api.v1 import session_pb2


class HiddenAttributeError(Exception):
    """The attribute is not exposed, the environment cannot be asked, or the value cannot travel."""


def check_exposed(names: object) -> frozenset[str]:
    """The names that a server exposes.

    Raises:
        ArgumentTypeError: If they are not a collection of str.
        InvalidArgumentError: If the clients have an attribute of that name themselves.
    """
    if is_collection(names):
        listed = list(names)
        exposed = [name for name in listed if isinstance(name, str)]
        if len(exposed) == len(listed):
            own = sorted(filter(is_client_name, exposed))
            if own:
                raise InvalidArgumentError(
                    f"expose: the clients have an attribute {own[0]!r} themselves, so a client "
                    f"could not reach that of the environment; expose it by another name, with a "
                    f"property or a method of the environment"
                )
            return frozenset(exposed)
    raise ArgumentTypeError(
        f'expose must be a collection of attribute names, such as ("level",), got {names!r:.80}'
    )


class Attributes:
    """Does what `get_attr`, `set_attr` and `call` do, for the names that the server exposes.

    Of a vector environment the attributes are those of its sub-environments, as Gymnasium has it.

    Args:
        env: The environment.
        exposed: The names. Any name may be exposed, a private one too.
        vector: Whether it is a vector environment.
    """

    def __init__(self, env: Any, exposed: frozenset[str], *, vector: bool) -> None:
        self._env = env
        self._exposed = exposed
        self._vector = vector

    def answer(
        self, verb: session_pb2.AttributeVerb.ValueType, name: str, argument: Any
    ) -> session_pb2.AttributeResult:
        """Reads, sets or calls an attribute.

        Raises:
            HiddenAttributeError: If the server does not expose the name, the environment's
                sub-environments cannot be asked, or the value cannot travel.
        """
        if name not in self._exposed:
            known = one_line(", ".join(sorted(self._exposed))) or "none"
            raise HiddenAttributeError(
                f"the server exposes no attribute {one_line(repr(name))} (exposed: {known}); "
                f"name it in EnvServer(..., expose=(...))"
            )
        if verb == session_pb2.ATTRIBUTE_VERB_SET:
            self._set(name, argument)
            return session_pb2.AttributeResult(value=pack_listing(None)[0])
        if verb == session_pb2.ATTRIBUTE_VERB_CALL:
            positional, keywords = argument
            return _result(name, self._call(name, positional, keywords))
        value = self._num_envs("get_attr")(name) if self._vector else self._get(name)
        if callable(value) and not self._vector:
            return session_pb2.AttributeResult(value=pack_listing(None)[0], callable=True)
        return _result(name, value)

    def _get(self, name: str) -> Any:
        # Gymnasium's wrappers look for an attribute in what they wrap; a plain object does not.
        if hasattr(self._env, "get_wrapper_attr"):
            return self._env.get_wrapper_attr(name)
        return getattr(self._env, name)

    def _set(self, name: str, value: Any) -> None:
        if self._vector:
            self._num_envs("set_attr")(name, value)
        elif hasattr(self._env, "set_wrapper_attr"):
            self._env.set_wrapper_attr(name, value)
        else:
            setattr(self._env, name, value)

    def _call(self, name: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
        if self._vector:
            return self._num_envs("call")(name, *positional, **keywords)
        return self._get(name)(*positional, **keywords)

    def _num_envs(self, method: str) -> Any:
        """The method that asks every sub-environment; Gymnasium's wrappers do not forward it."""
        env = self._env
        while not hasattr(env, method):
            if not hasattr(env, "env"):
                raise HiddenAttributeError(
                    f"{type(env).__name__} has no {method}(), so the attributes of its "
                    "sub-environments "
                    f"are not available; serve a vector environment that has it"
                )
            env = env.env
        return getattr(env, method)


def _result(name: str, value: Any) -> session_pb2.AttributeResult:
    packed, degraded = pack_listing(value)
    if degraded:
        part = degraded[0]
        what, why, where = map(one_line, (part.type, part.reason, part.path))
        raise HiddenAttributeError(
            f"{name}: a value of type {what} cannot travel ({why}, at {where}); have the "
            f"environment give numbers, texts, NumPy arrays, lists, tuples and dicts of them"
        )
    return session_pb2.AttributeResult(value=packed)
