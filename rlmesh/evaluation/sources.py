"""Where an evaluation has its environments from."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import gymnasium

from rlmesh.client.address_source import source_of
from rlmesh.client.env import RemoteEnv
from rlmesh.client.vector_env import RemoteVectorEnv
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, WrongEndpointKindError
from rlmesh.evaluation.worlds import is_env


@dataclass(frozen=True, slots=True)
class Source:
    """Gives environments to workers.

    Attributes:
        open: Makes an environment or connects to one; or returns the caller's.
        owned: Whether the evaluation closes it. The caller's own has one worker at a time.
    """

    open: Callable[[], Any]
    owned: bool = True


class Sources:
    """The sources of one task. Any thread may call the methods; `_lock` guards `_users`."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources
        self._lock = threading.Lock()
        self._users = [0] * len(sources)

    @property
    def default_workers(self) -> int:
        """One for each source."""
        return len(self._sources)

    def take(self) -> Source | None:
        """The source with the fewest workers; None where each has as many as it may have."""
        with self._lock:
            free = [
                (users, index)
                for index, users in enumerate(self._users)
                if self._sources[index].owned or not users
            ]
            if not free:
                return None
            _, index = min(free)
            self._users[index] += 1
            return self._sources[index]

    def give_back(self, source: Source) -> None:
        """Ends what `take` began."""
        with self._lock:
            self._users[self._sources.index(source)] -= 1


def tasks_of(envs: Any, options: Mapping[str, Any]) -> dict[str, Sources]:
    """The sources of each task.

    Args:
        envs: As `rlmesh.evaluate` takes them.
        options: How to connect to addresses, as keyword arguments of `RemoteEnv`.

    Raises:
        ArgumentTypeError: If something in it is no environment.
        InvalidArgumentError: If there is none.
        InvalidAddressError: If an address or a source of addresses cannot be one.
        EndpointUnreachableError: If no address stands in a source of them.
    """
    if not isinstance(envs, Mapping):
        return {"": Sources(_sources(envs, options))}
    tasks = cast("Mapping[object, Any]", envs)
    if not tasks:
        raise InvalidArgumentError("envs is an empty mapping; give at least one task")
    found: dict[str, Sources] = {}
    for name, given in tasks.items():
        if not isinstance(name, str):
            raise ArgumentTypeError(f"the name of a task is a text, got {name!r:.80}")
        found[name] = Sources(_sources(given, options))
    return found


def _sources(given: Any, options: Mapping[str, Any]) -> list[Source]:
    if isinstance(given, list | tuple):
        if not given:
            raise InvalidArgumentError("envs is empty; give at least one environment")
        each_given = cast("Sequence[Any]", given)
        return [source for each in each_given for source in _sources(each, options)]
    if isinstance(given, str):
        return _named(given, options)
    if is_env(given):
        return [Source(partial(_same, given), owned=False)]
    if callable(given):
        return [Source(given)]
    raise ArgumentTypeError(
        f"an environment is an id, an address, an environment, a callable that makes one, or "
        f"several of these in a list; got {type(given).__name__} {given!r:.80}"
    )


def _same(env: Any) -> Any:
    return env


def _named(name: str, options: Mapping[str, Any]) -> list[Source]:
    if (addresses := source_of(name)) is not None:
        tls = options.get("tls")
        if addresses.server_name is not None and tls is not None and tls.server_name is None:
            # The certificates name the source, and not each of its addresses.
            tls = dataclasses.replace(tls, server_name=addresses.server_name)
            options = {**options, "tls": tls}
        return [Source(partial(_connect, each, options)) for each in addresses.addresses()]
    if "://" in name:
        return [Source(partial(_connect, name, options))]
    return [Source(partial(gymnasium.make, name))]


def _connect(address: str, options: Mapping[str, Any]) -> Any:
    """A client of a single environment or, where a vector environment is served, of that."""
    try:
        return RemoteEnv[Any, Any](address, **options)
    except WrongEndpointKindError:
        return RemoteVectorEnv[Any, Any](address, autoreset="disabled", **options)
