"""Large messages in memory that is left to their reader, who keeps what stands in it."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from rlmesh.codec.slab.arrays import SMALL
from rlmesh.codec.slab.protocols import Readable
from rlmesh.transports.pipe import Received, WakeReason

# Of the slab in the copy: NumPy reads aligned numbers.
_ALIGNMENT = 16


def receive_copy(
    receive: Callable[[], Received | WakeReason], slab_at: int
) -> Received | WakeReason:
    """Receives a message of shared memory; a large one is copied out of it.

    Args:
        receive: Receives it.
        slab_at: Where its slab begins.
    """
    received = receive()
    if not isinstance(received, tuple):
        return received
    buffer, start, end = received
    nbytes = end - start
    if nbytes <= SMALL or not isinstance(buffer, mmap.mmap):
        return received
    lead = -slab_at % _ALIGNMENT
    memory = np.empty(lead + nbytes, np.uint8)
    memory[lead:] = ndarray((nbytes,), np.uint8, buffer, start)
    return memory.data[lead:], 0, nbytes


def left_or_bytes(message: Readable) -> memoryview | bytes:
    """A message that is no bytes object: as it is where its memory is left to the reader."""
    if isinstance(message, memoryview) and isinstance(message.obj, ndarray):
        return message
    return bytes(message)


def left_to_reader(message: bytes) -> memoryview:
    """A message that nothing else refers to, as memory that may be written on; see `Received`.

    NumPy reads a pickled array in this way, and leaves the bytes where they are.
    """
    array = np.empty(0, np.uint8)
    # NumPy's stubs ask for a bool of NumPy, and it takes only one of Python, as it pickles.
    state: Any = 1, (len(message),), array.dtype, False, message
    array.__setstate__(state)
    return array.data
