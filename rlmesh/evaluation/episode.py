"""What one episode of an evaluation was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias

from rlmesh.errors import InvalidArgumentError

Ending: TypeAlias = Literal["terminated", "truncated", "max_steps", "error"]
"""How an episode ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One episode: two are equal where the same happened in them, whatever time that took.

    Attributes:
        task: The name of the task; empty where there is one only.
        seed: What the environment was reset with.
        total_reward: The sum of the rewards.
        length: How many steps it had.
        success: Whether the task was solved; None: the environment does not say.
        ending: How it ended.
        error: The type and the message of what ended it; None: no error did.
        seconds: How long it took.
    """

    task: str
    seed: int
    total_reward: float
    length: int
    success: bool | None
    ending: Ending
    error: str | None = None
    seconds: float = field(compare=False)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it, which is all."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Episode:
        """The episode that `to_dict` was called on.

        Raises:
            InvalidArgumentError: If the data is none of an episode.
        """
        names = {each.name for each in fields(cls)}
        if set(data) != names:
            raise InvalidArgumentError(
                f"an episode has {', '.join(sorted(names))}; got {', '.join(sorted(data)) or '-'}"
            )
        return cls(**data)
