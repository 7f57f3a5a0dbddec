"""Arrays of other libraries as NumPy's: PyTorch's tensors, JAX's arrays, what has `__array__`.

No such library is imported here. What NumPy reads by itself does not come here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.type_guards import is_row

__all__ = ["foreign_array", "read_array"]

_FLOAT32 = np.dtype(np.float32)


def read_array(value: Any) -> npt.NDArray[Any]:
    """Reads an array, a number or nested lists of them as NumPy does, and tensors as well.

    A tensor of PyTorch that requires a gradient, or that is on another device, is read without its
    gradient and copied to main memory. A dtype that NumPy lacks (bfloat16, the floats of 8 bits)
    becomes float32, which holds each of its values.

    Args:
        value: Anything.

    Raises:
        Exception: What NumPy or the array's library raises where it cannot be read.
    """
    try:
        array: npt.NDArray[Any] = np.asarray(value)
    except Exception:
        read = _row_of_tensors(value) if is_row(value) else _main_memory_tensor(value)
        if read is None:
            raise
        return read
    dtype = array.dtype
    # JAX adds its dtypes to those of NumPy.
    if dtype.kind == "V" and dtype.type is not np.void and np.can_cast(dtype, _FLOAT32):
        return array.astype(_FLOAT32)
    return array


def _main_memory_tensor(value: Any) -> npt.NDArray[Any] | None:
    """A tensor of PyTorch that `numpy()` does not give as it is; None for anything else."""
    kind: Any = kind_of(value)
    if not all(hasattr(kind, name) for name in ("detach", "cpu", "numpy", "resolve_neg")):
        return None
    tensor = value.detach().cpu().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.element_size() < _FLOAT32.itemsize:
        tensor = tensor.float()
    array: npt.NDArray[Any] = tensor.numpy()
    return array


def _row_of_tensors(row: list[Any] | tuple[Any, ...]) -> npt.NDArray[Any] | None:
    """A list with tensors of which NumPy does not read one; None if it has no tensor."""
    kinds: list[Any] = [kind_of(part) for part in row]
    if not any(hasattr(kind, "__array__") for kind in kinds):
        return None
    return np.asarray([read_array(part) for part in row])


def foreign_array(value: Any) -> Any:
    """An array of another library as NumPy's, and its scalar as NumPy's; None if it is neither.

    Args:
        value: Anything; what its methods raise means that it is no array.
    """
    kind: Any = kind_of(value)
    if not hasattr(kind, "__array__"):
        return None
    try:
        array = read_array(value)
    except BaseException:  # noqa: BLE001 - foreign code may raise anything, SystemExit included
        return None
    # Of objects NumPy makes an array of anything, so that says nothing.
    return None if array.dtype.kind == "O" else array[()] if array.ndim == 0 else array
