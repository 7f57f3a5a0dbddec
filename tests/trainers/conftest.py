"""Tests with the trainers' own packages, which `make trainers` installs and then runs.

They are large. Where one is missing, as in the virtual environment of `make test`, none of these
tests is collected: pytest ends with its exit code 5 then if it has nothing else to run, so that
`make trainers` cannot pass without them.
"""

from __future__ import annotations

import importlib.util

PACKAGES = (
    "gym",
    "jax",
    "minari",
    "minigrid",
    "pettingzoo",
    "sb3_contrib",
    "stable_baselines3",
    "supersuit",
    "torch",
    "torchrl",
)

collect_ignore_glob = (
    [] if all(importlib.util.find_spec(name) for name in PACKAGES) else ["test_*.py"]
)
