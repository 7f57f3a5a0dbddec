"""How the observations and the chunks of a model stand in messages of openpi.

An observation is a dict, and so is an answer. The entries of a Dict space stand there by their
keys. A value of any other space stands alone: an observation under `observation`, a chunk under
`actions`. A chunk has a first axis for its actions, in each of its leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from rlmesh.codec.checks.conformance import Check, Policy, compile_check
from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.codec.slab.violations import Violation, typename
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.spaces.paths import ROOT
from rlmesh_api.contract import DictSpace, ModelContract, Space, TextSpace, TupleSpace

__all__ = [
    "ACTIONS",
    "CONTRACT",
    "NOTICE",
    "OBSERVATION",
    "OWN",
    "TIMING",
    "ChunkForm",
    "from_entries",
    "length_of",
    "most_bytes",
    "to_entries",
]

OBSERVATION: Final = "observation"
ACTIONS: Final = "actions"
TIMING: Final = "server_timing"
"""What an answer says of the time that it took, as openpi's own server does."""

NOTICE: Final = "rlmesh.conformance.warning"
"""What was not quite in the action space; only where there is something."""

OWN: Final = "rlmesh"
"""The entry of a server's metadata that only RLMesh sends."""

CONTRACT: Final = "contract"
"""The model's contract in that entry, as the message of protobuf."""

# What stands around the numbers of a message, and how many times as wide they may be sent.
_AROUND = 1 << 20
_WIDEST = 9
_BYTES_OF_CHARACTER = 4
# How many lengths of chunks are compiled and kept, where a server's may vary.
_MOST_LENGTHS = 8


def to_entries(space: Space, value: Any, key: str) -> dict[str, Any]:
    """The dict that stands for a value of a space.

    Args:
        space: The space.
        value: The value.
        key: Where a value stands that is no dict.
    """
    return dict(value) if isinstance(space, DictSpace) else {key: value}


def from_entries(space: Space, entries: Any, key: str) -> Any:
    """The value that a dict stands for; its parts are not checked yet.

    Args:
        space: The space.
        entries: What was received.
        key: Where a value stands that is no dict.

    Raises:
        Violation: If it is no dict, or has not the entry or other ones.
    """
    if not is_mapping(entries):
        raise Violation("structure", ROOT, None, f"expected a dict, got {typename(entries)}")
    if isinstance(space, DictSpace):
        return entries
    if entries.keys() != {key}:
        got = ", ".join(map(repr, list(entries)[:8])) or "nothing"
        detail = f"expected a dict with the key {key!r} alone, got {got}"
        raise Violation("structure", ROOT, None, detail)
    return entries[key]


def most_bytes(contract: ModelContract) -> int:
    """The bytes of the largest message that holds an observation of a model.

    Numbers may be sent as the widest ones that there are.
    """
    leaves = compile_layout(contract.observation_space).leaves
    texts = sum(
        leaf.space.max_length * _BYTES_OF_CHARACTER
        for leaf in leaves
        if isinstance(leaf.space, TextSpace)
    )
    numbers = sum(leaf.count for leaf in leaves)
    return min(MAX_MESSAGE_BYTES, _AROUND + _WIDEST * numbers + texts)


def length_of(space: Space, chunk: Any) -> int:
    """How many actions a chunk of a space has: the length of its first leaf.

    Raises:
        Violation: If it has none.
    """
    try:
        while isinstance(space, DictSpace | TupleSpace):
            if isinstance(space, DictSpace):
                key = space.entries[0].key
                space, chunk = space.entries[0].space, chunk[key]
            else:
                space, chunk = space.spaces[0], chunk[0]
        return len(chunk)
    except (LookupError, TypeError) as error:
        detail = f"expected a stack of actions, got {typename(chunk)}"
        raise Violation("structure", ROOT, None, detail) from error


class ChunkForm:
    """Reads the chunks of an action space.

    Args:
        space: The space of one action.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._compiled = lru_cache(_MOST_LENGTHS)(self._compile)

    def read(self, answer: Mapping[str, Any], horizon: int | None) -> Any:
        """The chunk in an answer: owned, in the dtypes of the space.

        Args:
            answer: The answer.
            horizon: How many actions the chunk must have; None: as many as it has.

        Raises:
            Violation: If it holds no chunk of so many actions of the space.
        """
        space = self._space
        if isinstance(space, DictSpace):
            # Servers add what they have to say, such as the time that it took.
            keys = [entry.key for entry in space.entries]
            entries: Any = {key: answer[key] for key in keys if key in answer}
        elif ACTIONS in answer:
            entries = answer[ACTIONS]
        else:
            got = ", ".join(map(repr, list(answer)[:8])) or "nothing"
            detail = f"expected an answer with the key {ACTIONS!r}, got {got}"
            raise Violation("structure", ROOT, None, detail)
        if horizon is None:
            horizon = length_of(space, entries)
        layout, check = self._compiled(horizon)
        slab = layout.encode(entries, [])
        check(slab, 0, Policy.WARN)
        return layout.decode(slab, 0, len(slab), True)

    def _compile(self, horizon: int) -> tuple[Layout, Check]:
        layout = compile_layout(self._space, horizon)
        return layout, compile_check(self._space, horizon, layout)
