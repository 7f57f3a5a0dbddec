"""Large messages are copied out of shared memory, into memory that their reader may keep."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from rlmesh.codec.slab.arrays import SMALL
from rlmesh.transports.copying import CopyReceiver, left_or_bytes

SIZE, SLAB_AT = 3 * SMALL, 39


def test_memory_takes_the_next_message_only_where_nobody_holds_it() -> None:
    area = mmap.mmap(-1, 2 * SIZE)
    end = SIZE
    receiver = CopyReceiver(lambda: (area, 0, end), SLAB_AT)

    def received(byte: int) -> Any:
        area[:] = bytes([byte]) * len(area)
        found: Any = receiver.receive()
        message = left_or_bytes(found[0])
        assert bytes(message) == bytes([byte]) * end
        # As a model has it: an array that stands in the message.
        return np.ndarray((end - SLAB_AT,), np.uint8, message, SLAB_AT)

    first = received(1)
    assert first.ctypes.data % 16 == 0
    place = first.ctypes.data
    second = received(2)
    part = second[10:20]
    assert second.ctypes.data != place
    assert set(first) == {1}
    kept = second.ctypes.data
    del first, second
    third = received(3)
    assert third.ctypes.data != kept
    assert set(part) == {2}
    last = third.ctypes.data
    del third
    fourth = received(4)
    assert fourth.ctypes.data == last
    del fourth
    end = SIZE + 8
    assert set(received(5)) == {5}
