"""Real traffic: what released versions wrote, as `tests/golden/` keeps it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rlmesh_api.contract import EnvContract, Space
from rlmesh_api.v1 import contract_pb2

_FOLDER = Path(__file__).resolve().parents[1] / "tests" / "golden"


def contract_messages() -> list[bytes]:
    """Contracts as messages: of every space, and with every field set."""
    return [_bytes(contract["message"]) for contract in _contracts().values()]


def contract_texts() -> list[bytes]:
    """The same as JSON texts."""
    return [contract["json"].encode() for contract in _contracts().values()]


def spaces() -> dict[str, Space]:
    """The spaces of the catalogue, by name."""
    read = {
        name: EnvContract.from_proto(
            contract_pb2.EnvContract.FromString(_bytes(contract["message"]))
        )
        for name, contract in _contracts().items()
    }
    return {name: contract.observation_space for name, contract in read.items()}


def slabs() -> Iterator[tuple[str, int | None, bytes]]:
    """Values of the spaces: the space's name, the sub-environments, and a slab."""
    for recorded in _recorded():
        for name, values in recorded["values"].items():
            for slab in values["slabs"]:
                yield name.rpartition(" ")[0], values["num_envs"], _bytes(slab)


def calls() -> Iterator[tuple[str, bytes, bytes]]:
    """Calls of sessions: the environment's name, the request and its answer."""
    for recorded in _recorded():
        for name, conversation in recorded["conversations"].items():
            for call in conversation["calls"]:
                yield name, _bytes(call["request"]), _bytes(call["response"])


def predictions() -> Iterator[tuple[bytes, bytes]]:
    """Calls of sessions with models: the request and its answer."""
    for recorded in _recorded():
        for conversation in recorded["model_conversations"].values():
            for call in conversation["calls"]:
                yield _bytes(call["request"]), _bytes(call["response"])


def recordings() -> list[bytes]:
    """Files of recordings."""
    return [path.read_bytes() for path in sorted(_FOLDER.glob("recordings/*/*.mcap"))]


@cache
def _recorded() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(_FOLDER.glob("*.json"))]


def _contracts() -> dict[str, dict[str, str]]:
    return {
        name: contract
        for recorded in _recorded()
        for name, contract in recorded["contracts"].items()
    }


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
