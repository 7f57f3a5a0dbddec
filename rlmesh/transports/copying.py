"""Large messages in memory that is left to their reader, who keeps what stands in it."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from sys import getrefcount
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy import ndarray

from rlmesh.codec.slab.arrays import SMALL
from rlmesh.codec.slab.protocols import Readable
from rlmesh.transports.pipe import Received, WakeReason

# Of the slab in the copy: NumPy reads aligned numbers.
_ALIGNMENT = 16
# Larger memory is not kept between two messages, in bytes.
_LARGEST_KEPT = 1 << 24


class CopyReceiver:
    """Receives messages of shared memory, and copies a large one out of it.

    The memory of a copy takes the next message too, as soon as nobody else holds it: fresh memory
    costs as much again as the copy, for the system's pages and for a processor's cache.

    Args:
        receive: Receives a message.
        slab_at: Where its slab begins.
    """

    def __init__(self, receive: Callable[[], Received | WakeReason], slab_at: int) -> None:
        self._receive = receive
        self._lead = -slab_at % _ALIGNMENT
        self._memory: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        # What is counted where nobody else holds the memory, which depends on the interpreter.
        self._unheld = getrefcount(self._memory)

    def receive(self) -> Received | WakeReason:
        """Receives a message; see `Pipe`."""
        received = self._receive()
        if not isinstance(received, tuple):
            return received
        buffer, start, end = received
        nbytes = end - start
        if nbytes <= SMALL or not isinstance(buffer, mmap.mmap):
            return received
        lead = self._lead
        size = lead + nbytes
        if getrefcount(self._memory) == self._unheld and len(self._memory) == size:
            memory = self._memory
        else:
            memory = np.empty(size, np.uint8)
            if size <= _LARGEST_KEPT:
                self._memory = memory
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
