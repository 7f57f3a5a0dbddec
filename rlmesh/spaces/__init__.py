"""The seven spaces that RLMesh carries, and the conversions from and to Gymnasium's.

They need no Gymnasium; only the conversions import it.

    box, discrete, text   the spaces that hold no others
    containers            `Tuple` and `Dict`
    arrays                what these classes share: dtypes, shapes, numbers in C order
    from_gymnasium        Gymnasium's spaces as RLMesh's; what cannot be kept is refused
    to_gymnasium          RLMesh's spaces as Gymnasium's
    any_text              the Gymnasium space of a text that may hold any character
    batching              the batched spaces of vector environments
    conversions           spaces of other packages, and what they are carried as
    summary               a space in a few words: for tables, differences and docstrings
    paths                 places in a tree of spaces: `$.arm[1]`
"""

from __future__ import annotations

from rlmesh.spaces.box import Box
from rlmesh.spaces.containers import Dict, Tuple
from rlmesh.spaces.conversions import register_conversion
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
    "register_conversion",
    "to_gymnasium_space",
]
