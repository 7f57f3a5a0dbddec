"""`python check_golden.py GOLDEN.json`: reads and writes the golden contracts and values."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from rlmesh_legacy_server.messages import EnvContract, Space
from rlmesh_legacy_server.slabs import Layout
from rlmesh_legacy_server.spaces import space_message
from served_envs import space_of


def main(path: str) -> int:
    """Checks every space and slab; returns how many differ."""
    with open(path, encoding="utf-8") as file:
        golden = json.load(file)
    wrong = 0
    for name, contract in golden["contracts"].items():
        read = EnvContract.FromString(base64.b64decode(contract["message"]))
        wrong += _differs(name, read.observation_space)
    for name, values in golden["values"].items():
        space = Space.FromString(base64.b64decode(values["space"]))
        layout = Layout(space, values["num_envs"], "warn", nan=False)
        for slab in map(base64.b64decode, values["slabs"]):
            value, found = layout.decode(slab)
            if found or layout.encode(value) != (slab, []):
                print(f"{name}: a value differs, {found}")
                wrong += 1
    print(f"{len(golden['contracts'])} contracts, {len(golden['values'])} spaces of values")
    return wrong


def _differs(name: str, space: Any) -> bool:
    made = space_message(space_of(space))
    if made.SerializeToString(deterministic=True) == space.SerializeToString(deterministic=True):
        return False
    print(f"{name}: expected {space}, got {made}")
    return True


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1]), 100))
