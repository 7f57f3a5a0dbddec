"""The command `top`: what servers are doing, again and again."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

from rlmesh._cli import arguments
from rlmesh._cli.asking import credential_options, credentials_of, timeout_option
from rlmesh._cli.console import is_live, make_console
from rlmesh._cli.failure import one_line
from rlmesh._cli.options import with_options
from rlmesh.client.probing import fetch_status
from rlmesh.client.status import EndpointStatus, SessionStatus
from rlmesh.errors import RlmeshError
from rlmesh.foreign_text import one_line as foreign_line
from rlmesh.security import Credentials
from rlmesh.transports.peer import describe
from rlmesh_api.v1 import session_pb2

# Beyond so many servers they are asked in turn.
_MOST_AT_ONCE = 32
_STYLES = {"ready": "green", "busy": "yellow", "draining": "red", "down": "bold red"}
_COLUMNS = (
    "SERVER",
    "STATE",
    "SESSION",
    "HELD BY",
    "HELD",
    "VIA",
    "DOING",
    "TIME",
    "CALLS/S",
    "CALLS",
    "FAILED",
    "DEVIANT",
)
_NUMBERS = ("HELD", "TIME", "CALLS/S", "CALLS", "FAILED", "DEVIANT")


@dataclass(frozen=True, slots=True)
class Look:
    """What one server was doing at a moment.

    Attributes:
        address: Its address.
        at: When it was asked, on the monotonic clock, in seconds.
        status: What it answered; None: nothing.
        error: Why it answered nothing; empty where it did.
    """

    address: str
    at: float
    status: EndpointStatus | None
    error: str = ""


@click.command(short_help="Show what servers are doing, again and again.")
@click.argument(
    "addresses", metavar="[ADDRESS]...", nargs=-1, callback=arguments.endpoint_addresses
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=float,
    default=1.0,
    show_default=True,
    callback=arguments.seconds,
    help="How long to wait between two looks.",
)
@click.option(
    "--count",
    metavar="N",
    type=click.IntRange(min=1),
    help="End after so many looks. Default: look until Ctrl-C.",
)
@with_options(timeout_option, *credential_options)
def top(
    *, addresses: Sequence[str], interval: float, count: int | None, timeout: float, **given: Any
) -> None:
    """Show what the servers at the ADDRESSes are doing, as a table that is kept up to date.

    A server that does not answer is shown as down, and asked again. Where standard output is no
    terminal, one table follows the other. ADDRESS may be left out where RLMESH_ADDRESS or
    RLMESH_PORT is set. Exit codes: 0, 1 when a server did not answer the last of --count looks, 2
    for wrong usage.
    """
    credentials = credentials_of(**given)
    console = make_console()
    looks: list[Look] = []
    with contextlib.suppress(KeyboardInterrupt), _Screen(console) as screen:
        for number in itertools.count(1):
            before = {look.address: look for look in looks}
            looks = look_at(addresses, timeout, credentials)
            screen.show(top_view(looks, before))
            if number == count:
                break
            time.sleep(interval)
    if count is not None and any(look.status is None for look in looks):
        sys.exit(1)


def look_at(addresses: Sequence[str], timeout: float, credentials: Credentials) -> list[Look]:
    """Asks servers what they are doing, all at once.

    Args:
        addresses: Their addresses.
        timeout: Seconds until each must have answered.
        credentials: What to come in with.
    """

    def ask(address: str) -> Look:
        try:
            status = fetch_status(address, timeout, credentials)
        except RlmeshError as error:
            return Look(address, time.monotonic(), None, one_line(error))
        return Look(address, time.monotonic(), status)

    with ThreadPoolExecutor(
        min(len(addresses), _MOST_AT_ONCE), thread_name_prefix="rlmesh-top"
    ) as pool:
        return list(pool.map(ask, addresses))


def top_view(looks: Sequence[Look], before: dict[str, Look]) -> Table:
    """A table of what servers are doing.

    Args:
        looks: What they are doing.
        before: What each was doing at the look before, by address; calls are counted from there.
    """
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in _COLUMNS:
        table.add_column(
            name, justify="right" if name in _NUMBERS else "left", overflow="fold", no_wrap=False
        )
    for look in looks:
        for row in _rows(look, before.get(look.address)):
            style = _STYLES.get(row[1], "")
            cells = [Text(cell) for cell in row]
            cells[1].stylize(style)
            table.add_row(*cells)
    return table


class _Screen:
    """Where tables are shown: on a terminal in place of the last one, else one after another."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if is_live(console) else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, table: Table) -> None:
        """Shows a table."""
        if self._live is None:
            self._console.print(table)
            self._console.print()
        else:
            self._live.update(table, refresh=True)


def _rows(look: Look, before: Look | None) -> Iterator[tuple[str, ...]]:
    status = look.status
    if status is None:
        yield _row(look.address, "down", look.error)
        return
    server = look.address
    state = status.state
    former: dict[str, SessionStatus] = {}
    seconds = 0.0
    if before is not None and before.status is not None:
        former = {session.id: session for session in before.status.sessions}
        seconds = look.at - before.at
    if not status.sessions:
        free = f"none of {status.capacity}" if status.capacity else "none"
        yield _row(server, state, free, doing=_call(status), time=_busy(status))
        server = state = ""
    for session in status.sessions:
        then = former.get(session.id)
        rate = (session.calls - then.calls) / seconds if then is not None and seconds > 0 else None
        yield _of_session(server, state, session, rate)
        # The next rows are of the same server.
        server = state = ""
    for model in status.models:
        doing = foreign_line(model.call) if model.call else f"{model.queue_length} wait"
        name = f"{foreign_line(model.name)} version {model.version}"
        busy = f"{model.busy_seconds:.1f}" if model.call else ""
        yield _row("", "" if model.ready else "not ready", name, doing=doing, time=busy)


def _of_session(
    server: str, state: str, session: SessionStatus, rate: float | None
) -> tuple[str, ...]:
    holder = session.holder
    peer = session_pb2.Peer(name=holder.name, pid=holder.pid, host=holder.host)
    lost = holder.lost_seconds
    return _row(
        server,
        state,
        foreign_line(session.id),
        describe(peer),
        f"{holder.seconds:.0f}",
        foreign_line(session.transport),
        _call(session) or ("idle" if lost is None else "disconnected"),
        _busy(session) or f"{session.idle_seconds if lost is None else lost:.1f}",
        "" if rate is None else f"{rate:.1f}",
        str(session.calls),
        str(session.failures),
        str(sum(session.deviations.values())),
    )


def _row(
    server: str,
    state: str,
    session: str,
    holder: str = "",
    held: str = "",
    transport: str = "",
    doing: str = "",
    time: str = "",
    *numbers: str,
) -> tuple[str, ...]:
    row = (server, state, session, holder, held, transport, doing, time, *numbers)
    return row + ("",) * (len(_COLUMNS) - len(row))


def _call(found: EndpointStatus | SessionStatus) -> str:
    return foreign_line(found.call) if found.call else ""


def _busy(found: EndpointStatus | SessionStatus) -> str:
    return f"{found.busy_seconds:.1f}" if found.call else ""
