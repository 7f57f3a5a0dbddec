"""A contract in words, for a person who reads it in a terminal or in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from rlmesh.spaces.paths import ROOT, child_place
from rlmesh.spaces.summary import SpaceSummary, summarize
from rlmesh_api.contract import DictSpace, EnvContract, ModelContract, Space, TupleSpace

__all__ = ["SpaceRow", "describe_contract", "describe_spaces"]


class SpaceRow(NamedTuple):
    """A space of a contract, or a space in one.

    Attributes:
        title: What the space is of, `observation` for instance; empty for one in another.
        place: Its place in the tree, `$` for the root.
        summary: What it is.
    """

    title: str
    place: str
    summary: SpaceSummary


def describe_contract(contract: EnvContract | ModelContract) -> dict[str, str]:
    """What the environment or the model is, without its spaces: a fact by its name."""
    return _of_model(contract) if isinstance(contract, ModelContract) else _of_env(contract)


def describe_spaces(contract: EnvContract | ModelContract) -> Iterator[SpaceRow]:
    """The spaces of a contract, and those in them, each before what is in it."""
    vector = isinstance(contract, EnvContract) and contract.vector
    of_what = " of a sub-environment" if vector else ""
    trees = {
        f"observation{of_what}": contract.observation_space,
        f"action{of_what}": contract.action_space,
    }
    for title, space in trees.items():
        for number, (place, summary) in enumerate(_tree(space, ROOT)):
            yield SpaceRow("" if number else title, place, summary)


def _of_env(contract: EnvContract) -> dict[str, str]:
    facts = {"environment": contract.id}
    if contract.vector:
        facts["sub-environments"] = str(contract.num_envs)
        mode = contract.autoreset_mode
        facts["autoreset"] = mode.value.replace("_", " ") if mode else "not declared"
    if contract.agents is not None:
        facts["agents"] = ", ".join(contract.agents.names)
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


def _of_model(contract: ModelContract) -> dict[str, str]:
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


def _tree(space: Space, place: str) -> Iterator[tuple[str, SpaceSummary]]:
    yield place, summarize(space)
    if isinstance(space, TupleSpace):
        for index, child in enumerate(space.spaces):
            yield from _tree(child, child_place(place, index))
    elif isinstance(space, DictSpace):
        for entry in space.entries:
            yield from _tree(entry.space, child_place(place, entry.key))


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
