"""Keeps other pages out: a browser shows this page to its own user, and to no other site."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
# Of a websocket that is closed because a site may not read it.
_FORBIDDEN = 4403


class Guard:
    """Answers only requests for this server by its own name, and from its own page.

    A name that another site has made lead to this machine (DNS rebinding) is refused by the `Host`
    of the request, and the script of another site by its `Origin`.

    Args:
        app: What answers.
        hosts: The names of this server besides its addresses and `localhost`.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = {"localhost", socket.gethostname().lower(), *(each.lower() for each in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; see the ASGI specification."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reason = self._refusal(headers.get("host", ""), headers.get("origin"))
        if reason is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            refusal = PlainTextResponse(reason, status_code=403, headers=_HEADERS)
            await refusal(scope, receive, send)
        else:
            # Before it is accepted: the browser sees the status 403.
            await send({"type": "websocket.close", "code": _FORBIDDEN, "reason": reason})

    def _refusal(self, host: str, origin: str | None) -> str | None:
        if not self._is_own(host):
            return (
                "this page is shown to those who ask for it by an address of this machine, "
                "localhost or this machine's name\n"
            )
        if origin is not None and origin.lower() != f"http://{host}".lower():
            return "another site may not read this page\n"
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name.rstrip(".") in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending
