"""Which attributes of an environment a server can expose by name, and which names clients use."""

from __future__ import annotations

import functools

OWN_NAMES = frozenset(
    {
        "_async_steps",
        "_batch_size",
        "_connect",
        "_describe",
        "_device",
        "_env_client",
        "_finalizer",
        "_follow",
        "_may_have",
        "_repr_html_",
        "_seed_generator",
        "_seeds",
        "_source",
        "autoreset_mode",
        "_stepped",
        "call",
        "env_contract",
        "env_contracts",
        "expected_contract",
        "get_attr",
        "set_attr",
        "stats",
        "notices",
        "recv",
        "send",
        "step_async",
        "step_many",
        "step_wait",
        "transport",
    }
)
"""The names of the attributes that the clients have and Gymnasium's classes have not."""


def _names_of(kind: type) -> set[str]:
    annotated = {name for base in kind.__mro__ for name in vars(base).get("__annotations__", ())}
    return annotated | set(dir(kind))


@functools.cache
def _gymnasium_names() -> frozenset[str]:
    """The names of Gymnasium's classes; none on a server that has no Gymnasium."""
    try:
        # Here, so that serving an environment does not need it.
        import gymnasium
        from gymnasium.vector import VectorEnv
    except ImportError:
        return frozenset()
    return frozenset(_names_of(gymnasium.Env) | _names_of(VectorEnv))


def is_client_name(name: str) -> bool:
    """Whether the clients use an attribute's name themselves.

    No server can expose such a name: on a client it is the client's own attribute.

    Args:
        name: The name.

    Returns:
        True for the names of `RemoteEnv` and `RemoteVectorEnv`, for Gymnasium's own, and for all
        that begin and end with two underscores.
    """
    special = name.startswith("__") and name.endswith("__")
    return special or name in OWN_NAMES or name in _gymnasium_names()
