"""Calls an environment's methods as it understands them, Gym's old ones included."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rlmesh.contract.reading import legacy_render_mode


class UnsupportedArgumentError(Exception):
    """The environment cannot be given this argument."""


def compile_reset(env: Any) -> Callable[[Any, Any], Any]:
    """A function `(seed, options)` that resets the environment with what its `reset` takes.

    An environment of Gym before 0.26 is seeded through its `seed` method.
    """
    takes_seed, takes_options = _parameters(env.reset)
    if takes_seed and takes_options:
        return lambda seed, options: env.reset(seed=seed, options=options)

    def reset(seed: Any, options: Any) -> Any:
        arguments: dict[str, Any] = {}
        if takes_seed:
            arguments["seed"] = seed
        elif seed is not None:
            if not callable(getattr(env, "seed", None)):
                raise UnsupportedArgumentError(
                    f"{type(env).__name__}.reset() takes no seed; reset without one"
                )
            env.seed(seed)
        if takes_options:
            arguments["options"] = options
        elif options is not None:
            raise UnsupportedArgumentError(
                f"{type(env).__name__}.reset() takes no options; reset without them"
            )
        return env.reset(**arguments)

    return reset


def compile_render(env: Any) -> Callable[[], Any]:
    """A function that renders the environment; one of Gym before 0.26 is given the mode."""
    mode = legacy_render_mode(env)
    if mode is not None:
        return lambda: env.render(mode=mode)
    # Looked up at each call: an environment without `render` is an error of that call.
    return lambda: env.render()  # noqa: PLW0108 - as said


def takes_options(env: Any) -> bool:
    """Whether the environment's `reset` can be given options."""
    return _parameters(env.reset)[1]


def _parameters(reset: Callable[..., Any]) -> tuple[bool, bool]:
    try:
        parameters = inspect.signature(reset).parameters
    except (TypeError, ValueError):
        # A callable of a compiled module may have no signature: Gymnasium's is assumed.
        return True, True
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return anything or "seed" in parameters, anything or "options" in parameters
