"""Arrays of other libraries as NumPy's: PyTorch's tensors, JAX's arrays, what has `__array__`.

No such library is imported here. What NumPy reads by itself does not come here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

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
        tensor = _main_memory_tensor(value)
        if tensor is None:
            raise
        return tensor
    dtype = array.dtype
    # JAX adds its dtypes to those of NumPy.
    if dtype.kind == "V" and dtype.type is not np.void and np.can_cast(dtype, _FLOAT32):
        return array.astype(_FLOAT32)
    return array


def _main_memory_tensor(value: Any) -> npt.NDArray[Any] | None:
    """A tensor of PyTorch that `numpy()` does not give as it is; None for anything else."""
    kind: Any = type(value)
    if not all(hasattr(kind, name) for name in ("detach", "cpu", "numpy", "float")):
        return None
    tensor = value.detach().cpu()
    if tensor.is_floating_point() and tensor.element_size() < _FLOAT32.itemsize:
        tensor = tensor.float()
    array: npt.NDArray[Any] = tensor.numpy()
    return array


def foreign_array(value: Any) -> Any:
    """An array of another library as NumPy's, and its scalar as NumPy's; None if it is neither.

    Args:
        value: Anything; what its methods raise means that it is no array.
    """
    kind: Any = type(value)
    if not hasattr(kind, "__array__"):
        return None
    try:
        array = read_array(value)
    except BaseException:  # noqa: BLE001 - foreign code may raise anything, SystemExit included
        return None
    # Of objects NumPy makes an array of anything, so that says nothing.
    return None if array.dtype.kind == "O" else array[()] if array.ndim == 0 else array
