"""A contract as a person reads it."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rlmesh.contract import EnvContract, ModelContract, describe_contract, describe_spaces
from rlmesh.foreign_text import paragraphs


def contract_view(contract: EnvContract | ModelContract, facts: dict[str, str]) -> RenderableType:
    """Two tables: what the environment or the model is, and its spaces.

    Args:
        contract: The contract.
        facts: What else there is to say, by name, the address for instance.
    """
    about = Table.grid(padding=(0, 2))
    about.add_column(style="bold cyan", no_wrap=True)
    about.add_column(overflow="fold")
    for name, fact in {**describe_contract(contract), **facts}.items():
        about.add_row(name, Text(paragraphs(fact)))
    return Group(about, _spaces(contract))


def _spaces(contract: EnvContract | ModelContract) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", style="bold cyan", no_wrap=True)
    table.add_column("place", overflow="fold")
    table.add_column("space", style="green", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("dtype", no_wrap=True)
    table.add_column("values", overflow="fold")
    for title, place, summary in describe_spaces(contract):
        table.add_row(
            title,
            Text(paragraphs(place)),
            summary.name,
            *(Text(paragraphs(cell)) for cell in (summary.shape, summary.dtype, summary.values)),
        )
    return table
