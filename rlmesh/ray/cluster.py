"""The Ray cluster: what its nodes have, and where on it servers go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import ray.util.client
from ray.util.placement_group import (
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

from rlmesh.address import TcpAddress
from rlmesh.client.connect_diagnosis import is_listening
from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.errors import (
    ArgumentTypeError,
    EndpointUnreachableError,
    InvalidArgumentError,
    StateError,
)

PLACEMENTS = ("spread", "pack")
# How long a node may take to accept a connection before it counts as gone.
_ANSWER_SECONDS = 1.0
# Ray counts in parts of ten thousand.
_SMALLEST = 1e-4
_NODE_LABEL = "ray.io/node-id"


def check_cluster() -> None:
    """Refuses to go on without a cluster that this program is a part of.

    Raises:
        StateError: If there is none, or the program reaches it through Ray Client.
    """
    if not ray.is_initialized():
        raise StateError(
            "this program is connected to no Ray cluster; call ray.init() to start one on this "
            'machine, or ray.init(address="auto") on a machine of a running one, before'
        )
    if ray.util.client.ray.is_connected():
        raise StateError(
            "this program reaches its Ray cluster through Ray Client (ray://), and steps cross "
            "between it and the nodes directly; run it on a node of the cluster, with ray.init("
            'address="auto") or as a Ray job'
        )


def read_resources(given: object) -> dict[str, float]:
    """What each server takes of its node, by Ray's names.

    Args:
        given: What the user gives; None: one CPU.

    Raises:
        ArgumentTypeError: If it is no mapping of names to numbers.
        InvalidArgumentError: If a number is no positive one, or there is none.
    """
    if given is None:
        return {"CPU": 1.0}
    if not is_mapping(given):
        raise ArgumentTypeError(
            f"resources must be a mapping of Ray's names of resources to numbers, such as "
            f'{{"CPU": 1, "GPU": 0.25}}, got {type(given).__name__} {given!r:.80}'
        )
    for name, amount in given.items():
        is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not (isinstance(name, str) and is_number):
            raise ArgumentTypeError(f"resources: {name!r:.80}: {amount!r:.80} is no number of it")
        if not (_SMALLEST <= amount < math.inf):
            raise InvalidArgumentError(
                f"resources: {name!r}: {amount!r} is out of range; give {_SMALLEST:g} or more, or "
                f"leave the name out"
            )
    if not given:
        raise InvalidArgumentError(
            'resources: {} places no limit on how many servers a node has; give {"CPU": 0.1} or '
            "another share"
        )
    return {str(name): float(amount) for name, amount in given.items()}


def check_placement(given: object) -> str:
    """Checks where servers shall go.

    Raises:
        InvalidArgumentError: If it is an unknown word.
    """
    if given not in PLACEMENTS:
        raise InvalidArgumentError(
            f"placement must be 'spread', over as many nodes as there are, or 'pack', on as few as "
            f"have room, got {given!r:.80}"
        )
    return str(given)


def actor_resources(resources: Mapping[str, float]) -> dict[str, Any]:
    """Resources as the options of a Ray actor."""
    rest = {
        name: amount for name, amount in resources.items() if name not in ("CPU", "GPU", "memory")
    }
    options: dict[str, Any] = {"num_cpus": resources.get("CPU", 0), "resources": rest}
    if "GPU" in resources:
        options["num_gpus"] = resources["GPU"]
    if "memory" in resources:
        options["memory"] = resources["memory"]
    return options


def check_room(resources: Mapping[str, float], count: int, present: int = 0) -> None:
    """Refuses servers for which the cluster would have no room even if it were empty.

    Args:
        resources: What each server takes.
        count: How many there shall be.
        present: How many of them there are already, for the message.

    Raises:
        InvalidArgumentError: If not so many fit on the nodes.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    fitting = [_fitting(resources, node["Resources"]) for node in nodes]
    if sum(fitting) >= count:
        return
    each = _amounts(resources)
    have = "; ".join(
        f"{node['NodeManagerAddress']} ({node['NodeID'][:12]}) has {_shown(node['Resources'])}"
        for node in nodes
    )
    what = (
        f"no node of the Ray cluster has {{{each}}}, which each server takes"
        if not any(fitting)
        else f"{count} servers that take {{{each}}} each do not fit on the Ray cluster, at most "
        f"{sum(fitting)} do"
    )
    more = f" ({present} of them are there)" if present else ""
    raise InvalidArgumentError(
        f"{what}{more}. Its {len(nodes)} nodes: {have or 'none'}. Give other resources=, more "
        f"sessions_per_server=, or add nodes before"
    )


def _fitting(resources: Mapping[str, float], has: Mapping[str, float]) -> int:
    """How many servers fit on a node that nobody else uses."""
    return min(
        math.floor(has.get(name, 0.0) / amount + _SMALLEST) for name, amount in resources.items()
    )


def _shown(has: Mapping[str, float]) -> str:
    kept = {name: amount for name, amount in has.items() if not name.startswith("node:")}
    return _amounts(dict(sorted(kept.items())))


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name}: {amount:g}" for name, amount in resources.items())


def choose_nodes(
    resources: Mapping[str, float], count: int, placement: str, seconds: float
) -> list[str]:
    """Has Ray choose a node for each of several servers, and returns the nodes' ids.

    A placement group chooses for all of them together, so that they are spread evenly, and waits
    until there is room for all. It is taken away then, and the actors take what it had.

    Args:
        resources: What each server takes.
        count: How many there are.
        placement: `spread` or `pack`.
        seconds: How long to wait for room.

    Raises:
        EndpointUnreachableError: If there is no room in time.
    """
    group = placement_group([dict(resources)] * count, strategy=placement.upper())
    try:
        if not group.wait(seconds):
            raise EndpointUnreachableError(
                f"the Ray cluster had no room for {count} servers that take "
                f"{{{_amounts(resources)}}} each within "
                f"{seconds:.1f} s; what is free now is {_shown(ray.available_resources())}. End "
                f"what uses the rest, or give a larger start_timeout_seconds="
            )
        chosen: Mapping[int, str] = placement_group_table(group)["bundles_to_node_id"]
        return [chosen[index] for index in range(count)]
    finally:
        remove_placement_group(group)


def anywhere_but(nodes: Sequence[str]) -> Any:
    """The scheduling strategy of a server that may go to any node but those."""
    if not nodes:
        return "SPREAD"
    return NodeLabelSchedulingStrategy({_NODE_LABEL: NotIn(*nodes)})


class Nodes:
    """The nodes of the cluster at one moment."""

    def __init__(self) -> None:
        self._table: dict[str, Any] = {node["NodeID"]: node for node in ray.nodes()}
        self._found: dict[str, bool] = {}

    def answers(self, node_id: str) -> bool:
        """Whether a node is there. Ray itself notices only after a while that one is gone."""
        if node_id not in self._found:
            node = self._table.get(node_id)
            self._found[node_id] = (
                node is not None
                and node["Alive"]
                and is_listening(
                    TcpAddress(node["NodeManagerAddress"], node["NodeManagerPort"]),
                    _ANSWER_SECONDS,
                )
            )
        return self._found[node_id]
