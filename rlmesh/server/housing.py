"""Houses the environment, or what makes one for each session, in rooms."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from rlmesh.contract import read_contract
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, InvalidEnvError
from rlmesh.server.isolation.workshop import isolated_rooms
from rlmesh.server.lanes_of import vector_of
from rlmesh.server.room import OneRoom, RoomEach, Rooms
from rlmesh.server.served_env import ServedEnv
from rlmesh.values.guards import is_row
from rlmesh.values.policy import Policy


def rooms_for(
    env: Any,
    sessions: int | None,
    isolation: str | None,
    policy: Policy,
    exposed: frozenset[str],
) -> Rooms:
    """Rooms for the sessions of a server.

    Args:
        env: The environment, a list of them, or a callable that makes either.
        sessions: How many sessions there can be at once, each with an environment of its own; None:
            one, as also where `env` is an environment.
        isolation: `process` for an environment in a process of its own; None: in this one.
        policy: What to do about values outside of their bounds.
        exposed: The names of the attributes that a client may read, set or call.

    Raises:
        ArgumentTypeError: If `sessions` is no integer, or what shall make environments in another
            process is no callable or cannot be sent there.
        InvalidArgumentError: If `sessions` is less than 1, or there is no such isolation.
        InvalidEnvError: If `env` is neither, or a single environment for several sessions.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
        BaseException: What the callable raises.
    """
    _check_sessions(sessions)
    if isolation is not None:
        return isolated_rooms(env, isolation, sessions or 1, policy, exposed)
    makes = _makes_envs(env, sessions)
    if not makes:
        if sessions not in (None, 1):
            raise InvalidEnvError(
                f"sessions={sessions} needs an environment for each session, so a callable that "
                f"makes them, got {type(env).__name__}; pass for instance "
                f"EnvServer(lambda: gymnasium.make(...), sessions={sessions})"
            )
        return OneRoom(_tenant_of(env, policy, exposed))

    held: WeakSet[ServedEnv] = WeakSet()

    def make() -> ServedEnv:
        made = env()
        if any(each.holds(made) for each in list(held)):
            # It is not closed: it is another session's.
            raise InvalidEnvError(
                f"the callable gave a {type(made).__name__} that another session has, and each "
                f"needs one of its own; make a new environment at every call"
            )
        try:
            tenant = _tenant_of(made, policy, exposed)
        except BaseException:
            close: Callable[[], object] | None = getattr(made, "close", None)
            # A class has one too, that needs an instance.
            if callable(close) and not inspect.isclass(made):
                close()
            raise
        held.add(tenant)
        return tenant

    return RoomEach(make, sessions or 1)


def _tenant_of(env: Any, policy: Policy, exposed: frozenset[str]) -> ServedEnv:
    if is_row(env):
        env = vector_of(env)
    return ServedEnv(env, read_contract(env), policy, exposed)


def _makes_envs(env: Any, sessions: int | None) -> bool:
    """Whether this is what makes environments, and none itself."""
    if inspect.isclass(env):
        # Alone it is more likely a mistake, which is told where the contract is read.
        return sessions is not None
    return callable(env) and not callable(getattr(env, "step", None))


def _check_sessions(sessions: object) -> None:
    if sessions is None:
        return
    if isinstance(sessions, bool) or not isinstance(sessions, int):
        raise ArgumentTypeError(
            f"sessions must be a number of sessions, or None for one, got "
            f"{type(sessions).__name__} {sessions!r:.80}"
        )
    if sessions < 1:
        raise InvalidArgumentError(f"sessions must be 1 or more, got {sessions}")
