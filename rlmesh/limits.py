"""Limits that both sides of a connection keep."""

from __future__ import annotations

# Larger than any sensible observation, smaller than what would exhaust a machine.
MAX_MESSAGE_BYTES = 1 << 30
"""The bytes of the largest message on every transport."""

MAX_COMPRESSED_REQUEST_BYTES = 1 << 26
"""The bytes of the largest request that a server takes in compressed form, in which a few bytes can
stand for many."""

MAX_CONTRACT_BYTES = 1 << 30
"""The memory that a client spends on the spaces of a contract, unless its caller allows more."""

MAX_SEED_BITS = 1024
"""The size of the largest seed. NumPy takes a time that grows with the square of it."""
