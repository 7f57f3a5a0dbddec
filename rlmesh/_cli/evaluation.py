"""What `rlmesh evaluate` does: loads, runs, shows the progress, and writes the result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rlmesh._cli.console import is_live, make_console
from rlmesh._cli.loading import EnvRequest, is_callable, load, load_policy
from rlmesh._cli.signals import CommandSignals, EndedBySignal
from rlmesh.address import UnixAddress, parse_address
from rlmesh.client.address_source import source_of
from rlmesh.errors import InvalidAddressError
from rlmesh.evaluation.episode import Episode
from rlmesh.evaluation.evaluating import Plan
from rlmesh.evaluation.intervals import stats
from rlmesh.evaluation.plotting import check_format
from rlmesh.evaluation.summary import Summary
from rlmesh.evaluation.table import return_text, success_text
from rlmesh.security import ClientTLS

# How often the output changes: on a terminal, and in a log. Each time an interval is computed.
_LIVE_SECONDS, _LOG_SECONDS = 1.0, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What to measure, and what to write.

    Attributes:
        envs: Addresses, sources of them, or environments as `rlmesh serve` takes them; by the
            names of their tasks, where the one task that there is has an empty name.
        policy: `module:callable`, or the address of a model.
        seeds: The seeds.
        workers: How many environments to drive at once; None: one for each of `envs`.
        success: Whether the last step or any must say success.
        max_steps: After how many steps an episode is ended; None: by the environment alone.
        latency: How long the world waits for the policy.
        record: The folder that takes what happens in the environments.
        resume: The file that keeps each episode as it ends.
        json_file: Where to write the result.
        csv_file: Where to write the episodes.
        plot_file: Where to draw the result.
        video: The folder that takes a video of each episode.
        kwargs: The keyword arguments to make environments with.
        imports: Packages to import first.
        timeout: Until when a server must have answered, in seconds.
        token: What is shown to servers; None: what `RLMESH_TOKEN` says.
        tls: What is trusted; None: nothing is encrypted. For a model on this machine it is not
            used.
        insecure: Whether the token may cross a network that reads it.
    """

    envs: Mapping[str, Sequence[str]]
    policy: str
    seeds: Sequence[int]
    workers: int | None
    success: Literal["end", "any"]
    max_steps: int | None
    latency: Literal["frozen", "measured"] | float
    record: Path | None
    resume: Path | None
    json_file: Path | None
    csv_file: Path | None
    plot_file: Path | None
    video: Path | None
    kwargs: dict[str, Any]
    imports: tuple[str, ...]
    timeout: float
    token: str | None = field(default=None, repr=False)
    tls: ClientTLS | None = None
    insecure: bool = False


def run_evaluation(request: EvaluationRequest) -> bool:
    """Runs, shows and writes; SIGINT and SIGTERM end it early.

    Returns:
        Whether all episodes were run, and not all ended with an error.

    Raises:
        LoadError: If an environment or the policy cannot be loaded.
        RlmeshError: What `rlmesh.evaluate` raises.
        OSError: If a file cannot be written.
    """
    # What is missing is said before anything runs, and not after it.
    stats()
    if request.plot_file is not None:
        check_format(request.plot_file)
    console = make_console()
    signals = CommandSignals()
    # The work ends by itself, with what is done. A second signal ends the process.
    signals.end = _let_it_end
    with signals.taken():
        try:
            plan = signals.unwinding(lambda: _plan(request))
        except EndedBySignal:
            return False
        with _display(console, plan) as show, contextlib.suppress(EndedBySignal):
            signals.unwinding(lambda: plan.run(show))
    return _report(plan, request, console)


def _let_it_end() -> None:
    """The main thread is ending the evaluation already."""


def _plan(request: EvaluationRequest) -> Plan:
    options = {
        "connect_timeout_seconds": request.timeout,
        "busy_timeout_seconds": request.timeout,
        "token": request.token,
        "insecure": request.insecure,
    }
    address = _address(request.policy)
    trusted = None if address is not None and _is_here(address) else request.tls
    envs = {task: [_env(name, request) for name in names] for task, names in request.envs.items()}
    return Plan(
        address or load_policy(request.policy, request.imports),
        envs,
        seeds=request.seeds,
        episodes=None,
        workers=request.workers,
        success=request.success,
        max_steps=request.max_steps,
        latency=request.latency,
        record=request.record,
        resume=request.resume,
        video=request.video,
        env_options={**options, "tls": request.tls},
        policy_options={**options, "tls": trusted},
    )


def _env(name: str, request: EvaluationRequest) -> str | Callable[[], Any]:
    """A source or an address as it is, else what makes the environment."""
    if source_of(name) is not None:
        return name
    address = _address(name)
    if address is not None:
        return address
    kwargs = request.kwargs
    if request.video is not None and not is_callable(name):
        # Whatever Gymnasium makes takes it; a callable may know no such argument.
        kwargs = {"render_mode": "rgb_array", **kwargs}
    return partial(load, EnvRequest(name=name, kwargs=kwargs, imports=request.imports))


def _address(name: str) -> str | None:
    """The address that a name is; None where it names a module or an id."""
    host, _, port = name.rpartition(":")
    if "://" not in name and not (port.isascii() and port.isdigit() and "/" not in host):
        return None
    address = parse_address(name)
    if not isinstance(address, UnixAddress) and not address.port:
        raise InvalidAddressError(
            f"{name}: port 0 lets a server choose; give the port that it chose"
        )
    return str(address)


def _is_here(address: str) -> bool:
    return parse_address(address).is_loopback


def _report(plan: Plan, request: EvaluationRequest, console: Console) -> bool:
    result = plan.result()
    done = len(result.episodes)
    if done:
        console.print(result.table())
    if request.json_file is not None:
        result.to_json(request.json_file)
    if request.csv_file is not None:
        result.to_csv(request.csv_file)
    if request.plot_file is not None and done:
        result.plot(request.plot_file)
    if done < plan.count:
        kept = "" if request.resume is None else f"; the same command goes on with {request.resume}"
        click.echo(f"Ended early, after {done} of {plan.count} episodes{kept}.", err=True)
        return False
    failed = [each.error for each in result.episodes if each.error is not None]
    if failed:
        click.echo(
            f"{len(failed)} of {done} episodes ended with an error; the first: {failed[0]}",
            err=True,
        )
    return len(failed) < done


@contextlib.contextmanager
def _display(console: Console, plan: Plan) -> Generator[Callable[[Episode], None]]:
    if not is_live(console):
        lines = _Lines(console, plan)
        yield lines.show
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[news]}", markup=False, style="cyan"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        live = _Live(progress, plan)
        yield live.show
        live.finish()


class _Live:
    """A bar that moves, with the running interval."""

    def __init__(self, progress: Progress, plan: Plan) -> None:
        self._progress = progress
        self._plan = plan
        self._task = progress.add_task("", total=plan.count, news="")
        self._next = 0.0

    def show(self, episode: Episode) -> None:
        """Moves the bar at most once a second."""
        if (now := time.monotonic()) >= self._next:
            self.finish()
            self._next = now + _LIVE_SECONDS

    def finish(self) -> None:
        """Moves the bar to where it belongs."""
        result = self._plan.result()
        news = _news(result.summary()) if result.episodes else ""
        self._progress.update(self._task, completed=len(result.episodes), news=news)


class _Lines:
    """A line after the first episode, and after some seconds each, with the running interval."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console = console
        self._plan = plan
        self._next = 0.0

    def show(self, episode: Episode) -> None:
        """Prints a line, if it is time to."""
        if (now := time.monotonic()) >= self._next:
            self._next = now + _LOG_SECONDS
            result = self._plan.result()
            done = f"episode {len(result.episodes)} of {self._plan.count}"
            self._console.print(f"{done}: {_news(result.summary())}")


def _news(summary: Summary) -> str:
    errors = f", {summary.errors} errors" if summary.errors else ""
    success = "" if summary.success_rate is None else f"success {success_text(summary)}, "
    return f"{success}return {return_text(summary)}{errors}"
