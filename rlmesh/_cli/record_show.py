"""The command `record show`: what is in a recording."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rlmesh._cli.asking import as_json_option
from rlmesh._cli.console import make_console
from rlmesh._cli.contract_table import contract_view
from rlmesh._cli.failure import failures_on_one_line
from rlmesh.foreign_text import one_line, paragraphs

if TYPE_CHECKING:
    from rlmesh.recording.summary import EpisodeSummary, RecordingSummary

_MOST = 20


@click.command(name="record show", short_help="Show what is in a recording.")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Show every episode, and not the first 20.")
@as_json_option
def record_show(*, file: Path, everything: bool, as_json: bool) -> None:
    """Show what is in FILE, a recording or a folder of recordings.

    Exit codes: 0, also where the end of a file is damaged, which is said; 1 when it is no
    recording, 2 for wrong usage.
    """
    from rlmesh.recording.reading import open_recordings
    from rlmesh.recording.summary import summarize

    console = make_console()
    with failures_on_one_line():
        for files in open_recordings(file):
            found = summarize(files)
            if as_json:
                click.echo(json.dumps(_data(found)))
            else:
                console.print(_view(found, None if everything else _MOST))


def _data(found: RecordingSummary) -> dict[str, Any]:
    return {
        "files": [str(path) for path in found.files.paths],
        "id": found.files.contract.id,
        "fingerprint": found.files.contract.fingerprint,
        "observations": "digest" if found.files.digest else "all",
        "versions": dict(found.files.versions),
        "steps": found.steps,
        "episodes": [asdict(each) for each in found.episodes],
        "steps_without_beginning": found.without_beginning,
        "damages": [str(each) for each in found.damages],
    }


def _view(found: RecordingSummary, most: int | None) -> RenderableType:
    files = found.files
    size = sum(path.stat().st_size for path in files.paths)
    versions = ", ".join(f"{name} {version}" for name, version in files.versions.items())
    facts = {
        "recording": "\n".join(str(path) for path in files.paths),
        "size": f"{size} bytes",
        "observations": "digests alone" if files.digest else "all",
        "versions": versions,
        "steps": str(found.steps),
        "episodes": str(len(found.episodes)),
    }
    if found.without_beginning:
        facts["without a beginning"] = f"{found.without_beginning} steps"
    parts: list[RenderableType] = [contract_view(files.contract, facts)]
    if found.episodes:
        parts.append(_episodes(found.episodes[:most], vector=files.contract.vector))
    if most is not None and len(found.episodes) > most:
        parts.append(Text(f"{len(found.episodes) - most} more episodes; --all shows them."))
    parts += [Text(paragraphs(str(damage)), "yellow") for damage in found.damages]
    return Group(*parts)


def _episodes(episodes: list[EpisodeSummary], *, vector: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("episode", justify="right")
    if vector:
        table.add_column("sub-environment", justify="right")
    for name in ("seed", "steps", "return"):
        table.add_column(name, justify="right")
    table.add_column("ending", overflow="fold")
    for each in episodes:
        follows = "follows" if each.seeded else "none"
        seed = follows if each.seed is None else str(each.seed)
        ending = each.ending if each.error is None else f"error: {one_line(each.error)}"
        index = [str(each.env_index)] if vector else []
        table.add_row(
            str(each.number), *index, seed, str(each.steps), f"{each.total_reward:g}", Text(ending)
        )
    return table
