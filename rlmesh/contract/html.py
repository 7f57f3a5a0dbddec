"""A contract as a notebook shows it."""

from __future__ import annotations

import html
from collections.abc import Mapping

from rlmesh.contract.description import describe_contract, describe_spaces
from rlmesh.foreign_text import paragraphs
from rlmesh_api._html import html_of
from rlmesh_api.contract import EnvContract, ModelContract

__all__ = ["contract_html"]

# A contract may have thousands of spaces, and a notebook keeps what it has shown.
_MOST_ROWS = 200
_HEAD = ("", "place", "space", "shape", "dtype", "values")


def contract_html(
    contract: EnvContract | ModelContract, facts: Mapping[str, str] | None = None
) -> str:
    """Two tables: what the environment or the model is, and its spaces.

    Everything that the contract says stands there as text, and never as markup.

    Args:
        contract: The contract.
        facts: What else there is to say, by name, the address for instance.
    """
    about = "".join(
        f'<tr><th scope="row" style="text-align: left">{_text(name)}</th>'
        f'<td style="text-align: left">{_text(fact)}</td></tr>'
        for name, fact in {**(facts or {}), **describe_contract(contract)}.items()
    )
    rows = [(row.title, row.place, *row.summary) for row in describe_spaces(contract)]
    head = "".join(f'<th scope="col" style="text-align: left">{name}</th>' for name in _HEAD)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="text-align: left">{_text(cell)}</td>' for cell in row)
        + "</tr>"
        for row in rows[:_MOST_ROWS]
    )
    more = len(rows) - _MOST_ROWS
    left_out = f"<p>and {more} more spaces</p>" if more > 0 else ""
    return (
        f"<div><table>{about}</table>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{left_out}</div>"
    )


def _text(text: str) -> str:
    return html.escape(paragraphs(text))


# `contract_html` takes what else there is to say, and notebooks say nothing.
@html_of.register
def _(contract: EnvContract) -> str:
    return contract_html(contract)


@html_of.register
def _(contract: ModelContract) -> str:
    return contract_html(contract)
