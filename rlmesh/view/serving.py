"""Answers browsers at an address, on a thread or for the life of the process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn

from rlmesh.security import ANYBODY, Credentials, Token
from rlmesh.view.app import View
from rlmesh.view.endpoint import WatchedEndpoint
from rlmesh.view.player import Player

__all__ = ["Player", "Shown", "give_way", "make_server", "url_of"]

# A third of the share that a usual process has, where all want more than there is: on a full
# machine the picture comes late, and does not stop.
_NICENESS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An endpoint that is shown.

    Attributes:
        address: Where it is.
        label: The address that the page shows; empty: the same.
    """

    address: str
    label: str = ""


def make_server(
    shown: Sequence[Shown],
    *,
    credentials: Credentials = ANYBODY,
    token: Token | None = None,
    hosts: Collection[str] = (),
    render_rate: float = 0.0,
    player: Callable[[Callable[[], None]], Player] | None = None,
) -> uvicorn.Server:
    """What answers browsers, once it is run with sockets that listen.

    Args:
        shown: The endpoints.
        credentials: What to come in with there.
        token: What a browser must show; None: nothing.
        hosts: The names by which a browser may ask, besides addresses and `localhost`.
        render_rate: How many times a second an environment may be rendered; 0: never.
        player: Makes what drives the environment for a person, given what to call when there is
            something new; None: the page only shows.

    Raises:
        InvalidAddressError: If an address is none that can be connected to.
    """
    views: list[View] = []

    def changed() -> None:
        for view in views:
            view.changed()

    view = View(
        [
            WatchedEndpoint(
                each.address, credentials, changed, label=each.label, render_rate=render_rate
            )
            for each in shown
        ],
        token,
        hosts,
        None if player is None else player(changed),
    )
    views.append(view)
    config: dict[str, Any] = {
        "access_log": False,
        "log_level": "warning",
        "lifespan": "on",
        "ws": "websockets-sansio",
        # What a browser sends is small.
        "ws_max_size": 1 << 16,
        "ws_per_message_deflate": False,
        "server_header": False,
        "timeout_graceful_shutdown": 3,
    }
    return uvicorn.Server(uvicorn.Config(view.app, **config))


def give_way() -> None:
    """Has this process, which only watches, leave its processors to those that do not.

    Packing a large image for a browser takes some milliseconds, thirty times a second.
    """
    os.nice(_NICENESS)


def url_of(sock: socket.socket) -> str:
    """Where a browser finds the page."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
