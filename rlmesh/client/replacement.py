"""Finds another endpoint in place of a lost one, and begins episodes there."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections import Counter
from collections.abc import Generator
from typing import Any

from rlmesh.address import parse_address
from rlmesh.client.address_source import AddressSource
from rlmesh.client.connect_diagnosis import is_listening
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient
from rlmesh.client.expected_contract import check_unchanged
from rlmesh.client.traced_clients import connect_env
from rlmesh.errors import (
    ContractMismatchError,
    EndpointError,
    EndpointUnreachableError,
    InvalidAddressError,
    RlmeshError,
    StateError,
)

# How long the machine of an endpoint may say nothing before its connection counts as broken, and
# for how long a client tries to resume a session before its endpoint counts as lost. With the
# attempts to connect elsewhere it stays below ten seconds.
LONGEST_SILENCE, LONGEST_RESUME = 2.0, 3.0
# How long one attempt to connect may take, and a look whether a server listens at all.
_ATTEMPT_SECONDS, _LOOK_SECONDS = 2.0, 0.5
# How long to pause between two rounds over the addresses: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


class Replacement:
    """Replaces endpoints, several at once where several threads ask.

    An address that no endpoint uses comes first, then the one that was lost, which may have come
    back. The contract there must be the one of the lost endpoint.

    Args:
        source: Where the addresses stand.
        options: How to connect; for `connect_timeout` seconds a replacement is tried for.
        env_clients: The endpoints' clients, in which a replaced one is exchanged.
        addresses: Their addresses, likewise.
    """

    def __init__(
        self,
        source: AddressSource,
        options: EnvConnectOptions,
        env_clients: list[EnvClient],
        addresses: list[str],
    ) -> None:
        self._source = source
        self._seconds = math.inf if options.connect_timeout is None else options.connect_timeout
        self._options = dataclasses.replace(
            options, connect_timeout=min(self._seconds, _ATTEMPT_SECONDS), busy_timeout=0.0
        )
        self._env_clients = env_clients
        self._addresses = addresses
        self._closing = threading.Event()
        # Guards the two lists, and which address a thread connects to at the moment.
        self._lock = threading.Lock()
        self._claims: Counter[str] = Counter()

    def begin(
        self, index: int, reason: str, seeds: list[int | None] | list[int] | None, options: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Replaces an endpoint, and resets its sub-environments.

        Args:
            index: Which endpoint.
            reason: Why it is lost, for messages.
            seeds: The seeds of the reset.
            options: Its options.

        Returns:
            Observation and info of the reset.

        Raises:
            EndpointUnreachableError: If there is no other endpoint within the connect timeout.
            ContractMismatchError: If there are only endpoints of other contracts.
            RlmeshError: What the reset raises.
            StateError: If another thread closes the client meanwhile.
        """
        deadline = time.monotonic() + self._seconds
        pause = _FIRST_PAUSE
        lost = self._addresses[index]
        while True:
            failures: dict[str, RlmeshError | str] = {}
            for address, count in self._candidates(index, failures):
                try:
                    with self._claimed(index, address, count) as mine:
                        if mine:
                            return self._begin_at(index, address, seeds, options)
                except (EndpointError, ContractMismatchError) as error:
                    failures[address] = error
            mismatches = [
                each for each in failures.values() if isinstance(each, ContractMismatchError)
            ]
            if mismatches and len(mismatches) == len(failures):
                raise mismatches[0]
            if time.monotonic() >= deadline:
                tried = "; ".join(f"{where}: {what}" for where, what in failures.items())
                raise EndpointUnreachableError(
                    f"{lost} is lost ({reason}), and no other endpoint took its place within "
                    f"{self._seconds:g} s: {tried or 'there is no other address'}. Start a server "
                    f"there, or at another address of this client; reset() tries again"
                )
            if self._closing.wait(pause):
                raise StateError(f"another thread closed this client while {lost} was replaced")
            pause = min(2 * pause, _LONGEST_PAUSE)

    def close(self) -> None:
        """Ends what `begin` waits for, on every thread. May be called repeatedly."""
        self._closing.set()

    def _candidates(
        self, index: int, failures: dict[str, RlmeshError | str]
    ) -> list[tuple[str, int]]:
        """The addresses to try, and how often each stands there; notes why others are not tried."""
        try:
            listed = self._source.addresses()
        except (EndpointUnreachableError, InvalidAddressError) as error:
            failures["the addresses"] = error
            return []
        lost = self._addresses[index]
        found: list[tuple[str, int]] = []
        for address in sorted(set(listed), key=lambda each: (each == lost, listed.index(each))):
            count = listed.count(address)
            with self._lock:
                used = self._is_used(index, address, count)
            if used:
                continue
            if is_listening(parse_address(address), _LOOK_SECONDS):
                found.append((address, count))
            else:
                failures[address] = "nothing listens there"
        return found

    def _is_used(self, index: int, address: str, count: int) -> bool:
        """Whether so many other endpoints use an address, or are about to; under the lock."""
        used = self._claims[address] + sum(
            client.address == address and client.lost is None
            for number, client in enumerate(self._env_clients)
            if number != index
        )
        return used >= count

    @contextlib.contextmanager
    def _claimed(self, index: int, address: str, count: int) -> Generator[bool]:
        """Keeps other threads from an address; gives False where one was faster."""
        with self._lock:
            used = self._is_used(index, address, count)
            self._claims[address] += not used
        try:
            yield not used
        finally:
            with self._lock:
                self._claims[address] -= not used

    def _begin_at(
        self, index: int, address: str, seeds: Any, options: Any
    ) -> tuple[Any, dict[str, Any]]:
        lost = self._env_clients[index]
        if address == lost.address and not lost.closed:
            # Takes the place of the session that its server may still hold.
            return lost.reset(seeds, options)
        found = connect_env(address, self._options)
        try:
            check_unchanged(lost.contract, address, found.contract)
            begun = found.reset(seeds, options)
            with self._lock:
                self._env_clients[index], self._addresses[index] = found, address
        except BaseException:
            found.close()
            raise
        if self._closing.is_set():
            found.close()
        lost.close()
        return begun
