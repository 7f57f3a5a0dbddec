"""The type arguments of the classes that stand for an environment or a model."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypeVar

ObsType = TypeVar("ObsType", default=Any)
ActType = TypeVar("ActType", default=Any)
