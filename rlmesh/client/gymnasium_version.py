"""Importing this module refuses a Gymnasium that is too old for the clients."""

from __future__ import annotations

import gymnasium

from rlmesh.package_versions import require_version

# The first release whose Discrete takes a dtype.
require_version("A client of RLMesh", "gymnasium", gymnasium.__version__, "1.2.2")
