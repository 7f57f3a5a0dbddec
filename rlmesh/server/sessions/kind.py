"""The kind of an endpoint, as far as its sessions know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointKind:
    """What differs between kinds of endpoints, as far as a session knows it.

    Attributes:
        noun: What is served, for messages: `environment`.
        service: The full name of its service.
        hot_call: The name of the call whose bytes are laid out by hand: `step`.
        read_hot: Reads such a call in the fixed form; returns its sequence and what the hot call is
            given, or None where protobuf must read it.
        slab_at: Where the slab begins in the message of such a call. The call then may keep the
            memory of a large message: a memoryview that no other side can change. None: the
            message is bytes, and the call copies.
    """

    noun: str
    service: str
    hot_call: str
    read_hot: Callable[[Any], tuple[int, Any] | None]
    slab_at: int | None = None
