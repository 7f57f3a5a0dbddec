"""Rooms: an environment and the one thread that owns it, for the sessions that come in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from rlmesh.contract import AutoresetMode, ContractDifference, EnvContract, compare_contracts
from rlmesh.errors import InvalidEnvError
from rlmesh.lanes.memory_port import Plan
from rlmesh.server.failures import CallFailedError, env_raised
from rlmesh.server.host import Host
from rlmesh.server.tenant import Tenant

_log = logging.getLogger("rlmesh.server")


class Room:
    """One environment and its thread.

    Args:
        make: Makes the tenant, on the room's thread.
        contract: What its contract must be; None: any.

    Attributes:
        host: The thread.
    """

    def __init__(self, make: Callable[[], Tenant], contract: EnvContract | None = None) -> None:
        self.host: Host = Host()
        self._make = make
        self._contract = contract
        self._tenant: Tenant | None = None
        self._closed = False

    @property
    def tenant(self) -> Tenant:
        """The tenant; it is made by the first who asks, who must be the room's thread."""
        tenant = self._tenant
        if tenant is None:
            tenant = self._tenant = self._made()
        return tenant

    @property
    def made(self) -> Tenant | None:
        """The tenant, if there is one. Any thread may ask."""
        return self._tenant

    def enter(self, mode: AutoresetMode | None, *, as_vector: bool, timeout: float | None) -> None:
        """Prepares the room for a client, on its thread; arguments as for `Tenant.begin_session`.

        Raises:
            CallFailedError: If the environment cannot be made, is another one than the contract
                says, or has no such mode.
        """
        try:
            tenant = self.tenant
        except CallFailedError:
            raise
        except BaseException as error:
            raise env_raised("making an environment for this session", error) from error
        tenant.begin_session(mode, as_vector=as_vector, timeout=timeout)

    def stack(self) -> str:
        """Where the call in progress is, the innermost frame last; empty between calls."""
        if self.host.running is None:
            return ""
        told = None if self._tenant is None else self._tenant.stack()
        return self.host.stack() if told is None else told

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Ends the call in progress by force, if there is a way to; see `Tenant`."""
        tenant = self._tenant
        return tenant is not None and tenant.abandon(reason, starting=starting)

    def close(self) -> None:
        """Closes the environment, once, on its thread. What it raises is logged."""
        if self._closed or self._tenant is None:
            return
        self._closed = True
        try:
            self._tenant.close()
        except BaseException as error:  # noqa: BLE001 - the session ends whatever its environment does
            failure = env_raised("the environment's close()", error).failure
            _log.error("%s\n%s", failure.message, failure.traceback)

    def _made(self) -> Tenant:
        made = self._make()
        if self._contract is None:
            return made
        found = compare_contracts(self._contract, made.contract)
        if found:
            try:
                made.close()
            except Exception:  # noqa: BLE001 - why it is refused matters more
                _log.exception("an environment with another contract could not be closed")
            raise _another(found)
        return made


class Rooms(Protocol):
    """Where sessions find an environment.

    Attributes:
        capacity: How many sessions there can be at once.
        contract: What every environment is.
        plan: How much room the calls of one take in shared memory.
        on_caller: Whether `run` calls an environment.
    """

    on_caller: bool
    capacity: int
    contract: EnvContract
    plan: Plan

    def take(self) -> Room:
        """A room for a session; its environment may not have been made yet."""
        ...

    def give_back(self, room: Room) -> None:
        """Takes a room back after a session, on its thread."""
        ...

    def all(self) -> list[Room]:
        """Every room that there is. Any thread may ask."""
        ...

    def start(self) -> None:
        """Has a thread of its own run every room that has none."""
        ...

    def run(self) -> None:
        """Has this thread run the room that has none, until the end; returns at once if none."""
        ...

    def discard(self) -> None:
        """Undoes what was made here, as there will be no server."""
        ...


class OneRoom:
    """One environment for one session after the other; see `Rooms`.

    Args:
        tenant: What is called.
    """

    on_caller = True
    capacity = 1

    def __init__(self, tenant: Tenant) -> None:
        self.contract: EnvContract = tenant.contract
        self.plan: Plan = tenant.plan
        self._room = Room(lambda: tenant)
        # It was made already, wherever that was.
        _ = self._room.tenant

    def take(self) -> Room:
        """The room."""
        return self._room

    def give_back(self, room: Room) -> None:
        """The environment waits for the next session, in whatever state it is."""

    def all(self) -> list[Room]:
        """The room."""
        return [self._room]

    def start(self) -> None:
        """Has a thread of its own run the room."""
        self._room.host.start()

    def run(self) -> None:
        """Has this thread run the room, until the end, unless another does."""
        if not self._room.host.has_own_thread:
            self._room.host.run()

    def discard(self) -> None:
        """The environment is left to whoever made it."""


class RoomEach:
    """An environment for each session, made when it begins and closed when it ends; see `Rooms`.

    The contract is that of a first environment, which waits for the first session.

    Args:
        make: Makes a tenant; called on the thread that owns it from then on.
        capacity: How many sessions there can be at once.

    Raises:
        BaseException: What `make` raises.
    """

    on_caller = False

    def __init__(self, make: Callable[[], Tenant], capacity: int) -> None:
        self.capacity: int = capacity
        self._make = make
        self._lock = threading.Lock()
        self._rooms: list[Room] = []
        first = Room(make)
        first.host.start()
        try:
            tenant: Tenant = first.host.call(lambda: first.tenant, name="make")
        except BaseException:
            first.host.stop()
            raise
        self.contract: EnvContract = tenant.contract
        self.plan: Plan = tenant.plan
        self._rooms.append(first)
        self._spare: Room | None = first

    def take(self) -> Room:
        """The first room for the first session, then a new one for each."""
        with self._lock:
            room, self._spare = self._spare, None
            if room is not None:
                return room
        room = Room(self._make, self.contract)
        room.host.start()
        with self._lock:
            self._rooms.append(room)
        return room

    def give_back(self, room: Room) -> None:
        """Closes the environment, and ends its thread."""
        room.close()
        room.host.stop()
        with self._lock:
            self._rooms.remove(room)

    def all(self) -> list[Room]:
        """Every room that there is."""
        with self._lock:
            return list(self._rooms)

    def start(self) -> None:
        """Every room has its own thread already."""

    def run(self) -> None:
        """Every room has its own thread already."""

    def discard(self) -> None:
        """Closes the first environment."""
        for room in self.all():
            room.host.call(room.close, name="close")
            room.host.stop()


def _another(found: tuple[ContractDifference, ...]) -> InvalidEnvError:
    return InvalidEnvError(
        f"the factory made an environment with another contract than this endpoint's, which its "
        f"clients rely on: {'; '.join(map(str, found))}. Have it make the same environment every "
        f"time"
    )
