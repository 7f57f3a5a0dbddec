"""The frame of the lanes that do not speak gRPC: a fixed header, then the body.

A step crosses as numbers and slabs, for protobuf would cost as much as the rest of the way. Every
other call is rare and crosses as the message that it is on the gRPC lane.

    MESSAGE    body: a SessionRequest or SessionResponse
    STEP       body: the action's slab
    STEPPED    body: for a vector endpoint the rewards (float64 each), the terminations and the
               truncations (one byte each), filled up to a multiple of 8; then the observation's
               slab, then the packed info
"""

from __future__ import annotations

import struct
from typing import NamedTuple

MESSAGE, STEP, STEPPED = 1, 2, 3

TERMINATED, TRUNCATED = 1, 2
"""Flags of a single environment's STEPPED."""


class Header(NamedTuple):
    """What every frame begins with.

    Attributes:
        kind: MESSAGE, STEP or STEPPED.
        flags: TERMINATED and TRUNCATED of a single environment.
        elsewhere: 1 where the body did not fit and stands in a segment of its own.
        sequence: The call's number.
        body: The bytes of the body.
        slab: Those of the body that are the slab.
        reward: The reward of a single environment.
    """

    kind: int
    flags: int
    elsewhere: int
    sequence: int
    body: int
    slab: int
    reward: float


HEADER = struct.Struct("<BBB5xQQQd")
"""A header's 40 bytes, little-endian."""


def outcome_bytes(num_envs: int) -> int:
    """How many bytes rewards and flags of a vector endpoint take in a STEPPED."""
    return (num_envs * 10 + 7) // 8 * 8
