"""One target under the fuzzer: `python -m fuzz.loop TARGET SEEDED ARGUMENT...`, which ends the process.

The arguments are libFuzzer's own. An input that a target must not be fed with is written to where
`-artifact_prefix` says, and the process ends with a code other than 0.
"""

from __future__ import annotations

import logging
import sys
from random import Random

import atheris

with atheris.instrument_imports(include=["rlmesh", "rlmesh_api"], enable_loader_override=False):
    from fuzz.guard import guarded
    from fuzz.target import Target
    from fuzz.targets.catalogue import TARGETS


def _mutator(target: Target):  # type: ignore
    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)  # noqa: S311 - nothing is kept secret by it
        if random.random() < 0.5:
            mutated = target.mutate(data, random)
            if mutated is not None and len(mutated) <= most:
                return mutated
        return atheris.Mutate(data, most)

    return mutate


def main() -> None:
    """Runs the target that the command line names."""
    name, *arguments = sys.argv[1:]
    target = TARGETS[name]
    # What a server says of damaged messages, for each of a million.
    logging.disable()
    with target.opened() as feed, guarded(feed) as fed:
        atheris.Setup(
            [sys.argv[0], *arguments, f"-max_len={target.longest}"],
            fed,
            custom_mutator=_mutator(target),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
