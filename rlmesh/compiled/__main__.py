"""`python -m rlmesh.compiled`: compiles the parts of a step in C, in place."""

from __future__ import annotations

import sys

from rlmesh.compiled.building import build

sys.exit(build() or None)
