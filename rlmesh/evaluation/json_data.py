"""Data as JSON gives it."""

from __future__ import annotations

from typing import Any, cast


def as_object(data: object) -> dict[str, Any] | None:
    """The data where it is an object of JSON, a dict; None where it is something else."""
    return cast("dict[str, Any]", data) if isinstance(data, dict) else None
