"""Makes the environment, or the model, that the command line names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlmesh._cli.failure import LoadError, one_line
from rlmesh._cli.signals import EndedBySignal


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvRequest:
    """The environment that the command line names.

    Attributes:
        name: An id that Gymnasium knows, `package:id`, or `module:callable`.
        kwargs: The keyword arguments to make it with.
        imports: Packages to import first, so that they register their environments.
        num_envs: How many sub-environments; None for a single environment.
        vectorization_mode: `sync` or `async`, where there are sub-environments.
    """

    name: str
    kwargs: dict[str, Any]
    imports: tuple[str, ...] = ()
    num_envs: int | None = None
    vectorization_mode: str = "sync"


def load(request: EnvRequest) -> Any:
    """Makes the environment.

    Raises:
        LoadError: If a package cannot be imported, nothing of that name is there, or making it
            fails, whatever it raises.
    """
    _see_working_directory()
    for package in request.imports:
        _import(package)
    if is_callable(request.name):
        module, _, attribute = request.name.partition(":")
        factory = _callable(module, attribute, _NAMED)
        return _explained(f"making {request.name}", lambda: _call(factory, request))
    return _explained(f"making {request.name}", lambda: _make(request))


def is_callable(name: str) -> bool:
    """Whether an environment's name is that of a callable, and no id."""
    _, _, attribute = name.partition(":")
    # What follows the colon of `package:id` is an id, with a version or a namespace.
    return bool(attribute) and all(part.isidentifier() for part in attribute.split("."))


def load_model(name: str, kwargs: dict[str, Any], imports: tuple[str, ...] = ()) -> Any:
    """Makes the model that `module:callable` names, or takes the object of that name.

    Raises:
        LoadError: If a package cannot be imported, nothing of that name is there, or making it
            fails, whatever it raises.
    """
    _see_working_directory()
    for package in imports:
        _import(package)
    module, _, attribute = name.partition(":")
    if not attribute:
        raise LoadError(f"{name} names no model; give it as module:callable")
    found = _callable(module, attribute, "a model is named as module:callable")
    return _explained(f"making {name}", lambda: found(**kwargs))


def load_policy(name: str, imports: tuple[str, ...] = ()) -> Any:
    """Takes the policy that `module:name` names; a class of policies is made without arguments.

    Raises:
        LoadError: If a package cannot be imported, nothing of that name is there, or making it
            fails, whatever it raises.
    """
    _see_working_directory()
    for package in imports:
        _import(package)
    module, _, attribute = name.partition(":")
    if not attribute:
        raise LoadError(
            f"{name} names no policy; give it as module:callable, or the address of a model"
        )
    found = _attribute(module, attribute, "a policy is named as module:callable")
    return _explained(f"making {name}", found) if isinstance(found, type) else found


def _make(request: EnvRequest) -> Any:
    # The serving side needs Gymnasium for its ids only.
    import gymnasium

    if request.num_envs is None:
        return gymnasium.make(request.name, **request.kwargs)
    return gymnasium.make_vec(
        request.name,
        request.num_envs,
        vectorization_mode=request.vectorization_mode,
        **request.kwargs,
    )


def _call(factory: Callable[..., Any], request: EnvRequest) -> Any:
    if request.num_envs is None:
        return factory(**request.kwargs)
    from gymnasium.vector import (
        AsyncVectorEnv,
        SyncVectorEnv,
    )

    make_sub_envs = AsyncVectorEnv if request.vectorization_mode == "async" else SyncVectorEnv
    return make_sub_envs([lambda: factory(**request.kwargs)] * request.num_envs)


_NAMED = "an environment is named by its id or as module:callable"


def _attribute(module: str, attribute: str, how: str) -> Any:
    found: Any = _import(module)
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(f"the module {module} has no {attribute}; {how}") from None
    return found


def _callable(module: str, attribute: str, how: str) -> Callable[..., Any]:
    found = _attribute(module, attribute, how)
    if not callable(found):
        raise LoadError(
            f"{module}:{attribute} is no callable but of the type {type(found).__name__}; name a "
            f"function or class that makes what is served"
        )
    factory: Callable[..., Any] = found
    return factory


def _import(name: str) -> Any:
    return _explained(f"importing {name}", lambda: importlib.import_module(name))


def _explained(doing: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except EndedBySignal:
        raise
    except BaseException as error:  # SystemExit of an environment's code too
        kind = type(error).__name__
        reason = one_line(error)
        raise LoadError(f"{doing} failed: {kind}{': ' if reason else ''}{reason}") from error


def _see_working_directory() -> None:
    # `python -m` has it on the path already, the console script has not.
    safe = sys.version_info >= (3, 11) and sys.flags.safe_path
    if not safe and "" not in sys.path:
        sys.path.insert(0, "")
