"""Where a vector client finds the addresses of its endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rlmesh.client.channel import dialable


class AddressSource(Protocol):
    """Where the addresses of endpoints stand. Any thread may ask."""

    def addresses(self) -> list[str]:
        """The addresses that stand there now, each as often as it has sessions for this client.

        Raises:
            InvalidAddressError: If what stands there cannot be read as addresses.
        """
        ...


class AddressList:
    """Addresses that never change; see `AddressSource`.

    Args:
        addresses: The addresses.

    Raises:
        InvalidAddressError: If a client cannot connect to one of them.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = [str(dialable(address)) for address in addresses]

    def addresses(self) -> list[str]:
        """The addresses; see `AddressSource`."""
        return list(self._addresses)
