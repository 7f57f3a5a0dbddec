"""A contract as a person reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rlmesh.contract import EnvContract, ModelContract
from rlmesh.foreign_text import paragraphs
from rlmesh.spaces import Space
from rlmesh.spaces.paths import ROOT, child_place
from rlmesh.spaces.summary import summarize
from rlmesh_api.contract import DictSpace, TupleSpace


def contract_view(contract: EnvContract | ModelContract, facts: dict[str, str]) -> RenderableType:
    """Two tables: what the environment or the model is, and its spaces.

    Args:
        contract: The contract.
        facts: What else there is to say, by name, the address for instance.
    """
    about = Table.grid(padding=(0, 2))
    about.add_column(style="bold cyan", no_wrap=True)
    about.add_column(overflow="fold")
    own = _model_facts(contract) if isinstance(contract, ModelContract) else _facts(contract)
    for name, fact in {**own, **facts}.items():
        about.add_row(name, Text(paragraphs(fact)))
    return Group(about, _spaces(contract))


def _facts(contract: EnvContract) -> dict[str, str]:
    facts = {"environment": contract.id}
    if contract.vector:
        facts["sub-environments"] = str(contract.num_envs)
        mode = contract.autoreset_mode
        facts["autoreset"] = mode.value.replace("_", " ") if mode else "not declared"
    facts["render mode"] = contract.render_mode or "none"
    if contract.delivers_nan:
        facts["NaN"] = "delivered"
    if contract.spec is not None:
        spec = contract.spec
        limit, threshold = spec.max_episode_steps, spec.reward_threshold
        facts["episode"] = f"at most {limit} steps" if limit else "no limit of steps"
        if threshold is not None:
            facts["solved at"] = f"a return of {threshold:g}"
        if spec.kwargs:
            facts["made with"] = _as_json(spec.kwargs)
    if contract.metadata:
        facts["metadata"] = _as_json(contract.metadata)
    return facts


def _model_facts(contract: ModelContract) -> dict[str, str]:
    limit = contract.max_batch_size
    facts = {
        "model": contract.id,
        "horizon": "one action" if contract.horizon == 1 else f"{contract.horizon} actions",
        "keeps state": "yes" if contract.keeps_state else "no",
        "batches": "as many as wait" if limit is None else f"at most {limit}",
    }
    taken = [name for name in ("prefix", "delay") if getattr(contract, f"takes_{name}")]
    if taken:
        facts["plans on from"] = " and ".join(taken)
    if contract.metadata:
        facts["metadata"] = _as_json(contract.metadata)
    return facts


def _spaces(contract: EnvContract | ModelContract) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", style="bold cyan", no_wrap=True)
    table.add_column("place", overflow="fold")
    table.add_column("space", style="green", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("dtype", no_wrap=True)
    table.add_column("values", overflow="fold")
    vector = isinstance(contract, EnvContract) and contract.vector
    of_what = " of a sub-environment" if vector else ""
    trees = {
        f"observation{of_what}": contract.observation_space,
        f"action{of_what}": contract.action_space,
    }
    for title, space in trees.items():
        for place, kind, *cells in _rows(space, ROOT):
            table.add_row(
                title, Text(paragraphs(place)), kind, *(Text(paragraphs(cell)) for cell in cells)
            )
            title = ""  # noqa: PLW2901 - the title stands in the first row of its tree
    return table


def _rows(space: Space, place: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Place, kind, shape, dtype and values of a space and of every space in it."""
    shown = summarize(space)
    yield place, shown.name, shown.shape, shown.dtype, shown.values
    if isinstance(space, TupleSpace):
        for index, child in enumerate(space.spaces):
            yield from _rows(child, child_place(place, index))
    elif isinstance(space, DictSpace):
        for entry in space.entries:
            yield from _rows(entry.space, child_place(place, entry.key))


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
