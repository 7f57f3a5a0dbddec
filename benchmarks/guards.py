"""What a value is, as guards that mypy and pyright both narrow by.

RLMesh has the like, but a contender is to import nothing of RLMesh.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt


def is_array(value: object) -> TypeGuard[npt.NDArray[Any]]:
    """Whether it is a NumPy array, of whatever dtype."""
    return isinstance(value, np.ndarray)


def is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is a dict; those of environments have texts as keys."""
    return isinstance(value, dict)


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether it is a list or a tuple."""
    return isinstance(value, (list, tuple))


def is_scalar(value: object) -> TypeGuard[np.generic[Any]]:
    """Whether it is a scalar of NumPy's own."""
    return isinstance(value, np.generic)
