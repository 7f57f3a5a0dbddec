"""What `rlmesh demo` does: a server process, a client, episodes, and the output."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rlmesh._cli.arguments import DEFAULT_ADDRESS
from rlmesh._cli.console import is_live, make_console
from rlmesh._cli.contract_table import contract_view
from rlmesh._cli.episodes import Tally, drive
from rlmesh._cli.server_process import ServerProcess
from rlmesh._cli.signals import CommandSignals, EndedBySignal, wait_for_children
from rlmesh.client.env import RemoteEnv
from rlmesh.foreign_text import paragraphs
from rlmesh.security import TOKEN_VARIABLE, ClientTLS, ServerTLS

# A server whose demo was killed ends by itself.
_IDLE_SECONDS = 300
# How often the output changes: on a terminal, and in a log.
_LIVE_SECONDS, _LOG_SECONDS = 0.1, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRequest:
    """What to serve and how to drive it.

    Attributes:
        env: The environment, as `rlmesh serve` takes it.
        kwargs: The keyword arguments to make it with.
        imports: Packages to import first.
        address: Where to serve.
        episodes: How many episodes to drive.
        seed: Makes them repeatable; None: they are not.
        max_steps: After how many steps an episode is cut.
        transport: The transport to drive them over, if the server offers it; None: the fastest.
        verbose: Whether the server shall log what it does.
        token: What the client shows to the server; None: what `RLMESH_TOKEN` says.
        tls: Where the server's certificates are; None: nothing is encrypted.
        ca: The authorities that the client trusts; None: the server's certificate itself.
    """

    env: str
    kwargs: dict[str, Any]
    imports: tuple[str, ...]
    address: str
    episodes: int
    seed: int | None
    max_steps: int
    transport: Literal["shm", "direct", "grpc"] | None = None
    verbose: bool = False
    token: str | None = field(default=None, repr=False)
    tls: ServerTLS | None = None
    ca: str | None = None


def demonstrate(request: DemoRequest) -> None:
    """Serves, drives, shows, and ends the server; SIGINT and SIGTERM end it early.

    Raises:
        RlmeshError: If the server does not start, the environment fails, or the server does not
            end cleanly.
    """
    wait_for_children()
    console = make_console()
    tally = Tally()
    signals = CommandSignals(patient=True)
    with signals.taken():
        # What has been driven until a signal came is summed up.
        with (
            ServerProcess(_server_options(request), _server_variables(request)) as server,
            contextlib.suppress(EndedBySignal),
        ):
            signals.unwinding(lambda: _drive(request, server, tally, console))
        console.print(_summary(request, tally, interrupted=signals.arrived))


def _server_options(request: DemoRequest) -> list[str]:
    options = {
        "--env": request.env,
        "--kwargs-json": json.dumps(request.kwargs),
        "--address": request.address,
        "--idle-timeout-seconds": str(_IDLE_SECONDS),
    }
    if request.tls is not None:
        options["--tls-cert"] = os.fspath(request.tls.certificate)
        options["--tls-key"] = os.fspath(request.tls.key)
    if request.transport == "direct":
        options["--direct"] = DEFAULT_ADDRESS
    pairs = [*options.items(), *(("--import", package) for package in request.imports)]
    return [f"{option}={value}" for option, value in pairs] + ["--verbose"] * request.verbose


def _server_variables(request: DemoRequest) -> dict[str, str]:
    # Not among its options, which every user of this machine can read.
    return {} if request.token is None else {TOKEN_VARIABLE: request.token}


def _drive(request: DemoRequest, server: ServerProcess, tally: Tally, console: Console) -> None:
    console.print(f"Starting a server for {request.env} ...")
    address = server.start()
    tls = None
    if request.tls is not None:
        tls = ClientTLS(ca=request.ca or request.tls.certificate)
    with contextlib.closing(
        RemoteEnv[Any, Any](address, transport=request.transport, token=request.token, tls=tls)
    ) as env:
        facts = {"address": address, "server": f"process {server.pid}", "transport": env.transport}
        console.print(contract_view(env.env_contract, facts))
        with _display(console, request) as display, tally.running():
            for ended in drive(
                env,
                tally,
                episodes=request.episodes,
                seed=request.seed,
                max_steps=request.max_steps,
            ):
                display.show(tally, ended=ended)


class _Display(Protocol):
    """Where progress is shown."""

    def show(self, tally: Tally, *, ended: bool) -> None:
        """Shows how far it is, if it is time to; `ended`: an episode has just ended."""


@contextlib.contextmanager
def _display(console: Console, request: DemoRequest) -> Generator[_Display]:
    if not is_live(console):
        yield _Lines(console, request.episodes)
        return
    columns = (
        TextColumn("{task.description}", markup=False, style="bold"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[news]}", markup=False, style="cyan"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        live = _Live(progress, paragraphs(request.env), request.episodes)
        yield live
        live.finish()


class _Live:
    """A bar that moves."""

    def __init__(self, progress: Progress, name: str, episodes: int) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=episodes, news="")
        self._tally: Tally | None = None
        self._next = 0.0

    def show(self, tally: Tally, *, ended: bool) -> None:
        """Moves the bar, some times a second."""
        self._tally = tally
        if (now := time.monotonic()) >= self._next:
            self._next = now + _LIVE_SECONDS
            self.finish()

    def finish(self) -> None:
        """Moves the bar to where it belongs."""
        if self._tally is not None:
            done = len(self._tally.returns)
            self._progress.update(self._task, completed=done, news=_news(self._tally))


class _Lines:
    """A line for every tenth of the episodes, and after some seconds without one."""

    def __init__(self, console: Console, episodes: int) -> None:
        self._console = console
        self._episodes = episodes
        self._tenth = max(1, episodes // 10)
        self._next = time.monotonic() + _LOG_SECONDS

    def show(self, tally: Tally, *, ended: bool) -> None:
        """Prints a line, if it is time to."""
        done = len(tally.returns)
        now = time.monotonic()
        if (ended and done % self._tenth == 0) or now >= self._next:
            self._next = now + _LOG_SECONDS
            self._console.print(f"episode {done} of {self._episodes}: {_news(tally)}")


def _news(tally: Tally) -> str:
    if not tally.returns:
        return f"step {tally.steps:,}, {tally.steps_per_second:,.0f} steps/s"
    return (
        f"return {tally.returns[-1]:.4g}, mean {tally.mean_return:.4g}, "
        f"{tally.steps_per_second:,.0f} steps/s"
    )


def _summary(request: DemoRequest, tally: Tally, *, interrupted: bool) -> Table:
    done = len(tally.returns)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column()
    rows = {"episodes": f"{done} of {request.episodes}" if interrupted else f"{done}"}
    if tally.cut:
        rows["cut"] = f"{tally.cut}, which had not ended after {request.max_steps:,} steps"
    rows["steps"] = f"{tally.steps:,}"
    if done:
        rows["mean return"] = f"{tally.mean_return:.4g}"
    if tally.steps:
        rows["steps per second"] = f"{tally.steps_per_second:,.0f}"
        rows["median step"] = f"{tally.median_step_seconds * 1e6:,.0f} µs"
    rows["server"] = "ended cleanly" + (", as a signal asked" if interrupted else "")
    for name, value in rows.items():
        table.add_row(name, value)
    return table
