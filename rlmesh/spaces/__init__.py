"""The seven spaces that RLMesh carries, and the way from Gymnasium's spaces and back.

They need no Gymnasium; only the two conversions import it.
"""

from __future__ import annotations

from rlmesh.spaces.box import Box
from rlmesh.spaces.containers import Dict, Tuple
from rlmesh.spaces.discrete import Discrete, MultiBinary, MultiDiscrete
from rlmesh.spaces.from_gymnasium import from_gymnasium_space
from rlmesh.spaces.text import Text
from rlmesh.spaces.to_gymnasium import to_gymnasium_space
from rlmesh_api.contract import Space

__all__ = [
    "Box",
    "Dict",
    "Discrete",
    "MultiBinary",
    "MultiDiscrete",
    "Space",
    "Text",
    "Tuple",
    "from_gymnasium_space",
    "to_gymnasium_space",
]
