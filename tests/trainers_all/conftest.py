"""Tests with the heavy trainers, which `make trainers-all` installs and then runs.

Where one is missing, none of these tests is collected; see tests/trainers/conftest.py.
"""

from __future__ import annotations

import importlib.util

PACKAGES = ("d3rlpy", "ray", "torch")

collect_ignore_glob = (
    [] if all(importlib.util.find_spec(name) for name in PACKAGES) else ["test_*.py"]
)
