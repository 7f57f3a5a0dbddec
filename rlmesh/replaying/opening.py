"""Where the environment of a replay comes from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, cast

import gymnasium

from rlmesh.client.env import RemoteEnv
from rlmesh.client.vector_env import RemoteVectorEnv
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import ArgumentTypeError


def open_env(given: Any, contract: EnvContract, stack: ExitStack, **options: Any) -> Any:
    """The environment, which is closed with the stack where it was made here.

    Args:
        given: An environment, a callable that makes one, an id or an address.
        contract: That of the recording: an id or an address may stand for a single environment or
            a vector environment.
        stack: What closes it.
        **options: How to connect to an address, as keyword arguments of `RemoteEnv`.

    Raises:
        ArgumentTypeError: If it is none of these.
        RlmeshError: If connecting fails.
        Exception: What making the environment raises.
    """
    if isinstance(given, str):
        env: Any = _named(given, contract, options)
    elif callable(getattr(given, "step", None)) and not isinstance(given, type):
        return given
    elif callable(given):
        env = cast("Callable[[], Any]", given)()
    else:
        raise ArgumentTypeError(
            f"a recording is replayed in an environment, a callable that makes one, an id or an "
            f"address, got {type(given).__name__} {given!r:.80}"
        )
    stack.callback(env.close)
    return env


def _named(name: str, contract: EnvContract, options: Any) -> Any:
    remote = "://" in name
    if not contract.vector:
        return RemoteEnv[Any, Any](name, **options) if remote else gymnasium.make(name)
    mode = contract.autoreset_mode
    if remote:
        word: Any = None if mode is None else mode.value
        return RemoteVectorEnv[Any, Any](name, autoreset=word, **options)
    wanted = gymnasium.vector.AutoresetMode[(mode or AutoresetMode.NEXT_STEP).name]
    return gymnasium.make_vec(
        name,
        contract.num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": wanted},
    )
