"""The application that a browser talks to: the page, and a websocket with what is new."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import AsyncGenerator, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.foreign_text import one_line
from rlmesh.security import Token
from rlmesh.view.endpoint import WatchedEndpoint, arrays_of, state_of
from rlmesh.view.guard import Guard
from rlmesh.view.images import Picture, picture_of
from rlmesh.view.player import Player

__all__ = ["MOST_RENDERS", "View"]

_log = logging.getLogger("rlmesh.view")

_FILES = {
    "/": ("index.html", "text/html"),
    "/view.css": ("view.css", "text/css"),
    "/view.js": ("view.js", "text/javascript"),
    "/card.js": ("card.js", "text/javascript"),
    "/play.js": ("play.js", "text/javascript"),
    "/plot.js": ("plot.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
# Within so many seconds a browser shows the token.
_TOKEN_SECONDS = 10.0
# Without news a browser is sent the same again, so that it knows that the view is there.
_QUIET_SECONDS = 2.0
_WRONG_TOKEN = 4401
_TOO_MANY = 4429
_MOST_BROWSERS = 32
MOST_RENDERS = 60.0
"""How many times a second an environment is rendered at most."""
_MOST_COMMAND_BYTES = 4096
# How many threads pack images.
_PACKERS = 2


class View:
    """Shows endpoints to browsers.

    Args:
        endpoints: What to show.
        token: What a browser must show; None: nothing.
        hosts: The names by which a browser may ask, besides addresses and `localhost`.
        player: Drives the environment for a person; None: the page only shows.

    Attributes:
        app: The application.
    """

    def __init__(
        self,
        endpoints: Sequence[WatchedEndpoint],
        token: Token | None = None,
        hosts: Collection[str] = (),
        player: Player | None = None,
    ) -> None:
        self._player = player
        self._endpoints = endpoints
        self._token = token
        self._pictures = _Pictures()
        self._browsers: set[_Browser] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: ThreadPoolExecutor | None = None
        static = Path(str(resources.files("rlmesh.view").joinpath("static")))
        routes: list[Any] = [
            Route(path, _file(static / name, kind)) for path, (name, kind) in _FILES.items()
        ]
        self.app: Starlette = Starlette(
            routes=[*routes, WebSocketRoute("/live", self._live)],
            middleware=[Middleware(Guard, hosts=tuple(hosts))],
            lifespan=self._lifespan,
        )

    def changed(self) -> None:
        """There is something new. Any thread may call it."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                # A loop that has ended has no browsers.
                loop.call_soon_threadsafe(self._wake)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None]:
        self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(_PACKERS, thread_name_prefix="rlmesh-view-pack") as self._pool:
            if self._player is not None:
                self._player.start()
            yield
            if self._player is not None:
                await asyncio.get_running_loop().run_in_executor(self._pool, self._player.close)
        self._loop = None

    def _wake(self) -> None:
        for browser in self._browsers:
            browser.news.set()

    async def _live(self, socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect, TimeoutError, asyncio.TimeoutError):
            if not await self._is_known(socket):
                await socket.close(_WRONG_TOKEN, "the token is wrong, or there is none")
                return
            if len(self._browsers) >= _MOST_BROWSERS:
                await socket.close(_TOO_MANY, f"{_MOST_BROWSERS} browsers look at this already")
                return
            await self._serve(socket)

    async def _is_known(self, socket: WebSocket) -> bool:
        shown = await asyncio.wait_for(_next_command(socket), _TOKEN_SECONDS)
        if self._token is None:
            return True
        text = shown.get("token")
        return isinstance(text, str) and self._token.is_shown_by(
            f"Bearer {text}".encode(errors="replace")
        )

    async def _serve(self, socket: WebSocket) -> None:
        browser = _Browser()
        for endpoint in self._endpoints:
            endpoint.look()
        self._browsers.add(browser)
        if self._player is not None:
            self._player.look(seen=True)
        reading = asyncio.create_task(self._read(socket, browser))
        try:
            while not reading.done():
                await browser.wait(reading)
                if reading.done():
                    break
                message, pictures = await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._newest, browser
                )
                await socket.send_text(message)
                for picture in pictures:
                    await socket.send_bytes(picture.data)
        finally:
            self._browsers.discard(browser)
            if self._player is not None:
                self._player.look(seen=bool(self._browsers))
            for endpoint in self._endpoints:
                endpoint.look_away()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect):
                await reading

    async def _read(self, socket: WebSocket, browser: _Browser) -> None:
        """Reads what a browser asks for, until it goes."""
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                command = await _next_command(socket)
                if command.get("next") is True:
                    browser.ready.set()
                play = command.get("play")
                if self._player is not None and is_mapping(play):
                    self._player.command(play)
                number = command.get("endpoint")
                if isinstance(number, int) and 0 <= number < len(self._endpoints):
                    self._change(self._endpoints[number], command)

    @staticmethod
    def _change(endpoint: WatchedEndpoint, command: dict[str, Any]) -> None:
        index, rate = command.get("envIndex"), command.get("renderRate")
        if isinstance(index, int) and 0 <= index < 1 << 20:
            endpoint.show_env(index)
        if isinstance(rate, int | float) and 0 <= rate <= MOST_RENDERS:
            endpoint.render(float(rate))

    def _newest(self, browser: _Browser) -> tuple[str, list[Picture]]:
        """What is new for a browser: a message, and the pictures that follow it."""
        states: list[dict[str, Any]] = []
        pictures: list[Picture] = []
        for number, endpoint in enumerate(self._endpoints):
            seen = endpoint.seen
            state = state_of(endpoint, seen)
            images: list[dict[str, Any]] = []
            state["images"] = images
            for session, path, version, read in arrays_of(seen, endpoint.env_index):
                key = number, session, path
                image: dict[str, Any] = {"session": session, "path": path, "new": False}
                if browser.shown.get(key) != version:
                    try:
                        picture = self._pictures.of(key, version, read)
                    except Exception as error:  # noqa: BLE001 - one image disturbs no page
                        # Of Pillow too, which packs no image of any size.
                        image["error"] = one_line(f"this cannot be shown as an image: {error}", 500)
                    else:
                        image.update(
                            new=True, type=picture.kind, height=picture.height, width=picture.width
                        )
                        pictures.append(picture)
                        browser.shown[key] = version
                images.append(image)
            states.append(state)
        play = None if self._player is None else self._player.describe()
        return json.dumps({"endpoints": states, "play": play}), pictures


class _Browser:
    """One browser, on the event loop.

    Attributes:
        ready: Set when it has shown what it was sent last.
        news: Set when there may be something new.
        shown: Which image it was sent last, by endpoint, session and place. Only `_newest` of this
            browser uses it, one at a time.
    """

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.news = asyncio.Event()
        self.news.set()
        self.shown: dict[tuple[int, str, str], int] = {}

    async def wait(self, reading: asyncio.Task[None]) -> None:
        """Waits until it is ready and there is news, or nothing was sent for long."""
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait({ready, reading}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        news = asyncio.create_task(self.news.wait())
        await asyncio.wait(
            {news, reading}, timeout=_QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        news.cancel()
        self.ready.clear()
        self.news.clear()


class _Pictures:
    """Packs each image once, whatever number of browsers look. Any thread may."""

    def __init__(self) -> None:
        # Guards `_packed`.
        self._lock = threading.Lock()
        self._packed: dict[tuple[int, str, str], tuple[int, Picture]] = {}

    def of(self, key: tuple[int, str, str], version: int, read: Any) -> Picture:
        with self._lock:
            packed = self._packed.get(key)
            if packed is None or packed[0] != version:
                if len(self._packed) > 256:
                    self._packed.clear()
                packed = self._packed[key] = version, picture_of(read())
            return packed[1]


async def _next_command(socket: WebSocket) -> dict[str, Any]:
    """What a browser asks for next; nothing where that cannot be read.

    Raises:
        WebSocketDisconnect: If it has gone.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    # Bytes are nothing that the page sends.
    return _command(message.get("text") or "")


def _command(text: str) -> dict[str, Any]:
    if len(text) > _MOST_COMMAND_BYTES:
        return {}
    try:
        command = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(key): value for key, value in command.items()} if is_mapping(command) else {}


def _file(path: Path, kind: str) -> Any:
    async def answer(request: Request) -> Response:
        if not path.is_file():
            return PlainTextResponse(f"{path.name} is missing: install rlmesh again\n", 500)
        return FileResponse(path, media_type=kind)

    return answer
