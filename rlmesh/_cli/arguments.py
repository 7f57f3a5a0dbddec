"""What stands on the command line, read into exact types; a mistake there is wrong usage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import click

from rlmesh._cli.readiness import ReadyFd, UnusableFdError
from rlmesh.address import LOOPBACK, Address, TcpAddress, parse_address
from rlmesh.errors import RlmeshError
from rlmesh.seconds import LONGEST_SECONDS
from rlmesh.security import Token

ADDRESS_VARIABLE = "RLMESH_ADDRESS"
PORT_VARIABLE = "RLMESH_PORT"
TRANSPORT_VARIABLE = "RLMESH_TRANSPORT"
DEFAULT_ADDRESS = f"tcp://{LOOPBACK}:0"
TCP_FORMS = "tcp://HOST:PORT, HOST:PORT, PORT or [IPV6]:PORT"
ADDRESS_FORMS = "tcp://HOST:PORT, HOST:PORT, PORT, [IPV6]:PORT or unix:///PATH"


def serving_address(ctx: click.Context, param: click.Parameter, value: str | None) -> Address:
    """Where to serve: the option, else the environment, else a free port of the loopback."""
    text, source = _given(value)
    return _parse(text or DEFAULT_ADDRESS, source, ctx, param)


def direct_address(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> TcpAddress | None:
    """Where the transport `direct` listens; None: nowhere."""
    if value is None:
        return None
    address = _parse(value, "", ctx, param)
    if not isinstance(address, TcpAddress):
        raise click.BadParameter(
            f"{address} is no TCP address; give {TCP_FORMS}", ctx=ctx, param=param
        )
    return address


def endpoint_address(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    """Which endpoint to ask: the argument, else the environment."""
    text, source = _given(value)
    if text is None:
        raise click.MissingParameter(
            f"Give the server's address ({ADDRESS_FORMS}), or set {ADDRESS_VARIABLE} or "
            f"{PORT_VARIABLE}.",
            ctx=ctx,
            param=param,
        )
    address = _parse(text, source, ctx, param)
    if isinstance(address, TcpAddress) and address.port == 0:
        raise click.BadParameter(
            f"{source}port 0 lets a server choose; give the port that it chose",
            ctx=ctx,
            param=param,
        )
    return str(address)


def endpoint_addresses(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> list[str]:
    """Which endpoints to ask, each once: the arguments, else the one of the environment."""
    found = [endpoint_address(ctx, param, each) for each in value or (None,)]
    return list(dict.fromkeys(found))


def seconds(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """A duration, as every part of RLMesh takes them."""
    if value is not None and not 0 <= value <= LONGEST_SECONDS:
        raise click.BadParameter(
            f"{value:g} is not between 0 and {LONGEST_SECONDS:.0f} seconds", ctx=ctx, param=param
        )
    return value


def json_object(ctx: click.Context, param: click.Parameter, value: str) -> dict[str, Any]:
    """Keyword arguments, written as a JSON object."""
    try:
        data = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is no JSON ({error}); give an object, as in '{{\"size\": 5}}'",
            ctx=ctx,
            param=param,
        ) from error
    if not isinstance(data, dict):
        raise click.BadParameter(
            f"{value!r} is no JSON object; give one, as in '{{\"size\": 5}}'", ctx=ctx, param=param
        )
    return cast("dict[str, Any]", data)


def ready_fd(ctx: click.Context, param: click.Parameter, value: int | None) -> ReadyFd | None:
    """A descriptor to write on."""
    if value is None:
        return None
    try:
        return ReadyFd(value)
    except UnusableFdError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from error


def token_file(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The token in a file. On the command line every user of the machine could read it."""
    if value is None:
        return None
    try:
        # No message shows the content of the file, whatever is wrong with it.
        text = Path(value).read_text(encoding="ascii", errors="replace").strip()
        Token(text, f"the token in {value}")
    except OSError as error:
        raise click.BadParameter(
            f"{value} cannot be read: {error.strerror}; give a file that holds the token",
            ctx=ctx,
            param=param,
        ) from error
    except RlmeshError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from error
    return text


def _given(value: str | None) -> tuple[str | None, str]:
    """The address as it was given, and where, for a message; an empty variable is none."""
    if value is not None:
        return value, ""
    if address := os.environ.get(ADDRESS_VARIABLE):
        return address, f"{ADDRESS_VARIABLE}: "
    if port := os.environ.get(PORT_VARIABLE):
        return f"{LOOPBACK}:{port}", f"{PORT_VARIABLE}={port!r}: "
    return None, ""


def _parse(text: str, source: str, ctx: click.Context, param: click.Parameter) -> Address:
    try:
        return parse_address(text)
    except RlmeshError as error:
        raise click.BadParameter(f"{source}{error}", ctx=ctx, param=param) from error
