"""The keys that RLMesh adds to an info when it has something to say.

In a vector environment each has the form that Gymnasium gives to such a value of a
sub-environment: an array of objects with the list of each sub-environment, or None, and under the
key with `_` before it a mask of those that have one.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CONFORMANCE_WARNING", "ENV_REPLACED", "ENV_SEED", "INFO_DEGRADED"]

CONFORMANCE_WARNING: Final = "rlmesh.conformance.warning"
"""A list of dicts: what deviates from its space and was delivered all the same."""

INFO_DEGRADED: Final = "rlmesh.info.degraded"
"""A list of dicts with `path`, `type` and `reason`: what could not travel and became its text."""

ENV_REPLACED: Final = "rlmesh.env.replaced"
"""A text: why the process or the server of a sub-environment is gone, which goes on in another."""

ENV_SEED: Final = "rlmesh.env.seed"
"""An integer: the seed with which such a sub-environment was reset, where it was a client's."""
