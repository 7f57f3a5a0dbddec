"""What floors move in place of a request."""

from __future__ import annotations

REQUEST_BYTES = 20
"""What a single action takes, with its number and tags."""
