"""Environment providers: where a session gets its environment slot from."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

from rlmesh.contract import EnvContract, read_contract
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, InvalidEnvError
from rlmesh.server.envs.autoreset import check_mode
from rlmesh.server.envs.backend import ENV, Backend
from rlmesh.server.envs.foreign_vectors import served_form
from rlmesh.server.envs.local import LocalBackend
from rlmesh.server.envs.options import EnvOptions, ParallelOptions
from rlmesh.server.envs.process.factory import WorkerFactory, isolated_factory
from rlmesh.server.envs.slot import EnvSlot
from rlmesh.server.failures import CallFailedError
from rlmesh.server.sessions.kind import EndpointKind
from rlmesh.transports.failures import error_of_making
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh_api.v1 import session_pb2


class EnvProvider(Protocol):
    """Where sessions find an environment.

    Attributes:
        kind: What kind of endpoint it is.
        capacity: How many sessions there can be at once.
        contract: What every environment is.
        plan: How much shared memory the calls of one session take.
        on_caller: Whether `run` calls an environment.
    """

    kind: EndpointKind
    on_caller: bool
    capacity: int
    contract: EnvContract
    plan: SegmentLayout

    def check(self, call: session_pb2.OpenCall) -> None:
        """Refuses what no environment can do; see `rlmesh.server.sessions.endpoint.Provider`."""
        ...

    def take(self, call: session_pb2.OpenCall) -> EnvSlot:
        """A slot for a session; its environment may not have been made yet."""
        ...

    def give_back(self, slot: EnvSlot) -> None:
        """Takes a slot back after a session, on its thread."""
        ...

    def all(self) -> list[EnvSlot]:
        """Every slot. Any thread may ask."""
        ...

    def start(self) -> None:
        """Starts the thread of every slot that has none."""
        ...

    def run(self) -> None:
        """Runs the slot that has no thread on the calling thread, until the end."""
        ...

    def discard(self) -> None:
        """Undoes what was made here, as there will be no server."""
        ...


class OneEnvProvider:
    """One environment for one session after the other; see `EnvProvider`.

    Args:
        backend: What is called.
        owned: Whether the environment was made for this server.
    """

    kind = ENV
    on_caller = True
    capacity = 1

    def __init__(self, backend: Backend, *, owned: bool = False) -> None:
        self._owned = owned
        self.contract: EnvContract = backend.contract
        self.plan: SegmentLayout = backend.plan
        self._slot = EnvSlot(lambda: backend)
        # The backend exists already, so any thread may ask for it.
        _ = self._slot.backend

    def check(self, call: session_pb2.OpenCall) -> None:
        """Refuses an autoreset mode that does not exist, or is missing."""
        check_mode(call, self.contract)

    def take(self, call: session_pb2.OpenCall) -> EnvSlot:
        """The slot."""
        return self._slot

    def give_back(self, slot: EnvSlot) -> None:
        """The environment waits for the next session, in whatever state it is."""

    def all(self) -> list[EnvSlot]:
        """The slot."""
        return [self._slot]

    def start(self) -> None:
        """Starts the slot's thread."""
        self._slot.thread.start()

    def run(self) -> None:
        """Runs the slot on the calling thread, until the end, unless it has its own thread."""
        if not self._slot.thread.has_own_thread:
            self._slot.thread.run()

    def discard(self) -> None:
        """Leaves the environment to the caller, unless it was made for this server."""
        if self._owned:
            self._slot.close()


class EnvPerSessionProvider:
    """An environment for each session, made as it begins and closed as it ends; see `EnvProvider`.

    The contract is that of a first environment, which waits for the first session.

    Args:
        make: Makes a backend; called on the thread that owns it from then on.
        capacity: How many sessions there can be at once.

    Raises:
        BaseException: What `make` raises.
    """

    kind = ENV
    on_caller = False

    def __init__(self, make: Callable[[], Backend], capacity: int) -> None:
        self.capacity: int = capacity
        self._make = make
        self._lock = threading.Lock()
        self._slots: list[EnvSlot] = []
        first = EnvSlot(make)
        first.thread.start()
        try:
            backend: Backend = first.thread.call(lambda: first.backend, name="make")
        except BaseException:
            first.thread.stop()
            raise
        self.contract: EnvContract = backend.contract
        self.plan: SegmentLayout = backend.plan
        self._slots.append(first)
        self._spare: EnvSlot | None = first

    def check(self, call: session_pb2.OpenCall) -> None:
        """Refuses an autoreset mode that does not exist, or is missing."""
        check_mode(call, self.contract)

    def take(self, call: session_pb2.OpenCall) -> EnvSlot:
        """The first slot for the first session, then a new one for each."""
        with self._lock:
            slot, self._spare = self._spare, None
            if slot is not None:
                return slot
        slot = EnvSlot(self._make, self.contract)
        slot.thread.start()
        with self._lock:
            self._slots.append(slot)
        return slot

    def give_back(self, slot: EnvSlot) -> None:
        """Closes the environment, and ends its thread."""
        slot.close()
        slot.thread.stop()
        with self._lock:
            self._slots.remove(slot)

    def all(self) -> list[EnvSlot]:
        """Every slot."""
        with self._lock:
            return list(self._slots)

    def start(self) -> None:
        """Every slot has its own thread already."""

    def run(self) -> None:
        """Every slot has its own thread already."""

    def discard(self) -> None:
        """Closes the first environment."""
        for slot in self.all():
            slot.thread.call(slot.close, name="close")
            slot.thread.stop()


def provider_for(
    env: Any,
    sessions: int | None,
    isolation: str | None,
    options: EnvOptions,
    parallel: ParallelOptions | None = None,
) -> EnvProvider:
    """The provider of a server's environments.

    Args:
        env: The environment, a list of them, or a callable that makes either.
        sessions: How many sessions there can be at once, each with its own environment; None:
            one, as also where `env` is an environment.
        isolation: `process` for environments in worker processes; None: in this process.
        options: How each environment is served.
        parallel: How to make a vector environment of what `env` makes; None: not at all.

    Raises:
        ArgumentTypeError: If `sessions` is no integer, or what shall make environments in another
            process is no callable or cannot be sent there.
        InvalidArgumentError: If `sessions` is less than 1, or there is no such isolation.
        InvalidEnvError: If `env` is neither, or a single environment for several sessions.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
        BaseException: What the callable raises.
    """
    _check_sessions(sessions)
    if parallel is not None:
        return _parallel_provider(env, sessions, options, parallel)
    if isolation is not None:
        return _isolated(isolated_factory(env, isolation, options), sessions or 1)
    makes = _makes_envs(env, sessions)
    if not makes:
        if sessions not in (None, 1):
            raise InvalidEnvError(
                f"sessions={sessions} needs an environment for each session, so a callable that "
                f"makes them, got {type(env).__name__}; pass for instance "
                f"EnvServer(lambda: gymnasium.make(...), sessions={sessions})"
            )
        return OneEnvProvider(_backend_of(env, options))

    held: WeakSet[LocalBackend] = WeakSet()

    def make() -> LocalBackend:
        made = env()
        if any(each.holds(made) for each in list(held)):
            # It is not closed: it is another session's.
            raise InvalidEnvError(
                f"the callable gave a {type(made).__name__} that another session has, and each "
                f"needs its own; make a new environment at every call"
            )
        try:
            backend = _backend_of(made, options)
        except BaseException:
            close: Callable[[], object] | None = getattr(made, "close", None)
            # A class has one too, that needs an instance.
            if callable(close) and not inspect.isclass(made):
                close()
            raise
        held.add(backend)
        return backend

    return EnvPerSessionProvider(make, sessions or 1)


def _isolated(factory: WorkerFactory, sessions: int) -> EnvProvider:
    try:
        return EnvPerSessionProvider(factory.make, sessions)
    except CallFailedError as error:
        raise error_of_making(error.failure) from None
    except BaseException:
        # Ctrl-C, for instance, before the environment was there.
        factory.abandon()
        raise


def _parallel_provider(
    env: Any, sessions: int | None, options: EnvOptions, parallel: ParallelOptions
) -> EnvProvider:
    """The provider of vector environments whose sub-environments run in worker processes."""
    from rlmesh.parallel.make_vec import make_vec
    from rlmesh.server.envs.parallel_backend import ParallelBackend

    def make() -> ParallelBackend:
        made = make_vec(
            env,
            parallel.num_envs,
            workers=parallel.workers,
            on_crash=parallel.on_crash,
            # Every observation is encoded before the next call.
            copy=False,
        )
        try:
            return ParallelBackend(made, options)
        except BaseException:
            made.close(terminate=True)
            raise

    if sessions is None:
        return OneEnvProvider(make(), owned=True)
    return EnvPerSessionProvider(make, sessions)


def _backend_of(env: Any, options: EnvOptions) -> LocalBackend:
    env = served_form(env)
    return LocalBackend(env, read_contract(env, delivers_nan=options.delivers_nan), options)


def _makes_envs(env: Any, sessions: int | None) -> bool:
    """Whether this is what makes environments, and none itself."""
    if inspect.isclass(env):
        # Alone a class is more likely a mistake, which `read_contract` reports.
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
