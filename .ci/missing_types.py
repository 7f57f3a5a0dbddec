"""Reads what `pyright --verifytypes rlmesh --outputjson` found, and fails for what has no type."""

from __future__ import annotations

import json
import sys

# Its base is a class of PettingZoo, which has no py.typed: pyright then calls the base unknown.
_UNTYPED_BASES = {"rlmesh.RemoteParallelEnv", "rlmesh.client.parallel_env.RemoteParallelEnv"}
_OF_BASES = {"Type of metaclass unknown", "Type of base class unknown"}


def main() -> int:
    """Prints each finding; returns the exit code."""
    found = json.load(sys.stdin)["typeCompleteness"]
    if not found["symbols"]:
        sys.stderr.write("pyright found no symbol of rlmesh\n")
        return 1
    missing = 0
    for symbol in found["symbols"]:
        if symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]:
            continue
        messages = {each["message"] for each in symbol["diagnostics"]}
        if not symbol["isExported"] or (symbol["name"] in _UNTYPED_BASES and messages <= _OF_BASES):
            continue
        missing += 1
        why = "; ".join(sorted(messages)) or "its type is not known"
        sys.stderr.write(f"{symbol['name']}: {why}\n")
    sys.stderr.write(f"{missing} of {len(found['symbols'])} symbols have no type.\n")
    return min(missing, 1)


if __name__ == "__main__":
    sys.exit(main())
