"""Tests with the heavy trainers, which `make trainers-all` installs and then runs.

Where one is missing, none of these tests is collected; see tests/trainers/conftest.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from typing import Any

import pytest

PACKAGES = ("d3rlpy", "ray", "torch")

collect_ignore_glob = (
    [] if all(importlib.util.find_spec(name) for name in PACKAGES) else ["test_*.py"]
)


@pytest.fixture(scope="module")
def ray() -> Generator[Any]:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()
