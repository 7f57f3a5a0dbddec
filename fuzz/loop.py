"""One target under the fuzzer: `python -m fuzz.loop TARGET ARGUMENT...`, which ends the process.

The arguments are libFuzzer's own. What a target must not be fed with is written to where
`-artifact_prefix` says, and the process ends with a code other than 0.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from random import Random

import atheris

# The rest is not what is fuzzed: NumPy, protobuf and MessagePack are C.
with atheris.instrument_imports(include=["rlmesh", "rlmesh_api"], enable_loader_override=False):
    from fuzz.guard import guarded
    from fuzz.target import Target
    from fuzz.targets.catalogue import TARGETS

# The rest is left to libFuzzer, which knows what it has compared with what.
_IN_FORM = 0.5


def main() -> None:
    """Runs the target that the command line names."""
    name, *arguments = sys.argv[1:]
    target = TARGETS[name]
    # What a server says of a damaged message, for each of a million.
    logging.disable()
    with target.opened() as feed, guarded(feed) as fed:
        # What libFuzzer starts again when it merges; through a shell.
        itself = f"{sys.executable} -m fuzz.loop {name}"
        atheris.Setup(
            [itself, *arguments, f"-max_len={target.longest}"],
            fed,
            custom_mutator=_mutator(target),
        )
        atheris.Fuzz()


def _mutator(target: Target) -> Callable[[bytes, int, int], bytes]:
    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < _IN_FORM:
            mutated = target.mutate(data, random)
            if mutated is not None and len(mutated) <= most:
                return mutated
        return atheris.Mutate(data, most)

    return mutate


if __name__ == "__main__":
    main()
