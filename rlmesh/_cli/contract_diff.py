"""The command `contract diff`: what an environment has become for its clients."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rlmesh._cli.asking import as_json_option, credential_options, model_option, timeout_option
from rlmesh._cli.console import make_console
from rlmesh._cli.contract_source import contract_source, read_source
from rlmesh._cli.failure import failures_on_one_line
from rlmesh._cli.options import with_options
from rlmesh.contract import ContractDifference, EnvContract, ModelContract, compare_contracts
from rlmesh.foreign_text import paragraphs

BREAKING = 1
_FAILED = 2


@click.command(name="contract diff", short_help="Show whether a contract breaks its clients.")
@click.argument("old", metavar="A", callback=contract_source)
@click.argument("new", metavar="B", callback=contract_source)
@with_options(as_json_option, model_option, timeout_option, *credential_options)
def contract_diff(
    *,
    old: str | Path,
    new: str | Path,
    as_json: bool,
    model: str | None,
    timeout: float,
    **given: Any,
) -> None:
    """Show in what the contract B differs from the older contract A.

    A and B are addresses of served environments, or both of models, or files that hold what
    `rlmesh contract --json` printed and whose names end in .json.

    Exit codes: 0 when what was written or trained for A goes on with B, 1 when it may not, 2 when
    a contract cannot be read and for wrong usage.
    """
    with failures_on_one_line(exit_code=_FAILED):
        contracts = tuple(read_source(end, timeout, model, **given) for end in (old, new))
        differences = compare_contracts(*contracts)
    breaking = any(difference.breaking for difference in differences)
    if as_json:
        click.echo(json.dumps(_report((old, new), contracts, differences, breaking=breaking)))
    else:
        make_console().print(_view(differences))
    sys.exit(BREAKING if breaking else 0)


def _report(
    sources: tuple[str | Path, str | Path],
    contracts: Sequence[EnvContract | ModelContract],
    differences: Sequence[ContractDifference],
    *,
    breaking: bool,
) -> dict[str, object]:
    ends = zip(("old", "new"), sources, contracts, strict=True)
    return {
        "breaking": breaking,
        **{
            end: {
                "source": str(source),
                "id": contract.id,
                "fingerprint": contract.fingerprint,
            }
            for end, source, contract in ends
        },
        "differences": [difference.to_dict() for difference in differences],
    }


def _view(differences: Sequence[ContractDifference]) -> RenderableType:
    if not differences:
        return Text("The contracts are equal.")
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(style="bold cyan", overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in differences:
        verdict = Text("breaking", "red") if each.breaking else Text("compatible", "green")
        change = Text(paragraphs(f"{each.old} -> {each.new}"))
        table.add_row(verdict, Text(paragraphs(each.place)), Text(paragraphs(each.aspect)), change)
    count = sum(difference.breaking for difference in differences)
    total = f"{len(differences)} difference{'s' * (len(differences) > 1)}"
    summary = f"{count} of them breaking" if count else "none of them breaking"
    return Group(table, Text(f"{total}, {summary}."))
