"""The page for a browser, shown from a thread of this process."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Generator
from functools import partial
from typing import Any

from typing_extensions import Self
from websockets.sync.client import ClientConnection, connect

import rlmesh
from rlmesh.address import TcpAddress, parse_address
from rlmesh.security import Credentials, Token
from rlmesh.server.rpc.binding import listen
from rlmesh.view.serving import Player, Shown, make_server, url_of

SECONDS = 60.0


@contextlib.contextmanager
def viewing(
    *addresses: str,
    token: str | None = None,
    port: int = 0,
    plays: dict[str, Any] | None = None,
    **settings: Any,
) -> Generator[str]:
    """Shows servers on a page, and drives the first one where `plays` says how; gives its URL."""
    if plays is not None:
        connect = partial(rlmesh.RemoteEnv[Any, Any], addresses[0], token=token)
        settings["player"] = lambda changed: Player(connect, changed, **plays)
    secret = None if token is None else Token(token, "token")
    server = make_server(
        [Shown(address=address) for address in addresses],
        credentials=Credentials(token=secret),
        token=secret,
        **settings,
    )
    address = parse_address(f"127.0.0.1:{port}")
    assert isinstance(address, TcpAddress)
    with listen(address) as listener:
        url = url_of(listener)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join(SECONDS)


class Browser:
    """What a page gets, without a browser: one websocket."""

    def __init__(self, url: str, token: str = "", **headers: str) -> None:
        self._open = contextlib.ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(
                url.replace("http://", "ws://") + "live",
                additional_headers=headers or None,
                proxy=None,
                max_size=None,
            )
        )
        self.socket.send(json.dumps({"token": token}))

    def play(self, **command: Any) -> None:
        """Asks for something of the player."""
        self.socket.send(json.dumps({"play": command}))

    def ask(self) -> dict[str, Any]:
        """The whole of what is new, where no image comes."""
        self.socket.send(json.dumps({"next": True}))
        message: dict[str, Any] = json.loads(self.socket.recv(SECONDS))
        return message

    def next(self) -> tuple[list[dict[str, Any]], list[bytes]]:
        """What is new: the endpoints, and the images that are."""
        self.socket.send(json.dumps({"next": True}))
        endpoints: list[dict[str, Any]] = json.loads(self.socket.recv(SECONDS))["endpoints"]
        images = [image for each in endpoints for image in each["images"] if image["new"]]
        found = [self.socket.recv(SECONDS) for _ in images]
        return endpoints, [each for each in found if isinstance(each, bytes)]

    def until(self, is_it: Any) -> tuple[list[dict[str, Any]], list[bytes]]:
        """What is new once something holds of the endpoints."""
        endpoints: list[dict[str, Any]] = []
        for _ in range(3000):
            endpoints, images = self.next()
            if is_it(endpoints):
                return endpoints, images
        raise AssertionError(f"it does not become so: {endpoints}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
