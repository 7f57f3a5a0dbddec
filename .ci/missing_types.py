"""Reads what `pyright --verifytypes rlmesh --outputjson` found, and fails for what has no type."""

from __future__ import annotations

import json
import sys

# Classes of packages that have no types, or are not installed where types are checked.
_FOREIGN_BASES = {
    "rlmesh.RemoteParallelEnv",
    "rlmesh.client.parallel_env.RemoteParallelEnv",
    "rlmesh.sb3.VecEnv",
}
_OF_BASES = {"Type of metaclass unknown", "Type of base class unknown"}


def main() -> int:
    """Prints each finding; returns the exit code."""
    found = json.load(sys.stdin)["typeCompleteness"]
    if not found["symbols"]:
        print("pyright found no symbol of rlmesh")
        return 1
    missing = 0
    for symbol in found["symbols"]:
        if symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]:
            continue
        messages = {each["message"] for each in symbol["diagnostics"]}
        if not symbol["isExported"] or symbol["name"] in _FOREIGN_BASES and messages <= _OF_BASES:
            continue
        missing += 1
        print(f"{symbol['name']}: {'; '.join(sorted(messages)) or 'its type is not known'}")
    print(f"{missing} of {len(found['symbols'])} symbols have no type.")
    return min(missing, 1)


if __name__ == "__main__":
    sys.exit(main())
