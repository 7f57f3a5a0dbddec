"""What one episode of an evaluation was."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias

from rlmesh.errors import InvalidArgumentError
from rlmesh.evaluation.json_data import as_object

Ending: TypeAlias = Literal["terminated", "truncated", "max_steps", "error"]
"""How an episode ended."""

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "task": str,
    "seed": int,
    "total_reward": numbers.Real,
    "length": int,
    "success": (bool, type(None)),
    "ending": str,
    "error": (str, type(None)),
    "held": int,
    "seconds": numbers.Real,
    "env_seconds": numbers.Real,
    "policy_seconds": numbers.Real,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One episode. Two are equal where the same happened in them, however long that took.

    Attributes:
        task: The name of the task; empty where there is one only.
        seed: What the environment was reset with.
        total_reward: The sum of the rewards.
        length: How many steps the episode had.
        success: Whether the task was solved; None: the environment does not say.
        ending: How it ended: `terminated`, `truncated`, `max_steps` or `error`.
        error: The type and the message of the error that ended it; None: no error did.
        held: In how many of the steps the last action was held, because the policy was late.
        seconds: How long the episode took, in seconds.
        env_seconds: How much of that the environment took, for its steps and its reset.
        policy_seconds: How much of that the policy took.
    """

    task: str
    seed: int
    total_reward: float
    length: int
    success: bool | None
    ending: Ending
    error: str | None = None
    held: int = 0
    seconds: float = field(default=0.0, compare=False)
    env_seconds: float = field(default=0.0, compare=False)
    policy_seconds: float = field(default=0.0, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """All attributes, as JSON holds them. A return that is no finite number is a text."""
        data = asdict(self)
        if not math.isfinite(self.total_reward):
            data["total_reward"] = str(self.total_reward)
        return data

    @classmethod
    def from_dict(cls, data: object) -> Episode:
        """The episode that `to_dict` was called on.

        Args:
            data: What `to_dict` returned.

        Raises:
            InvalidArgumentError: If `data` is not an episode.
        """
        names = {each.name for each in fields(cls)}
        known = as_object(data)
        if known is None or set(known) != names:
            raise InvalidArgumentError(
                f"an episode has {', '.join(sorted(names))}; got {data!r:.200}"
            )
        given = dict(known)
        total = given["total_reward"]
        if isinstance(total, str) and total in {"nan", "inf", "-inf"}:
            given["total_reward"] = float(total)
        for name, kind in _TYPES.items():
            if not isinstance(given[name], kind):
                raise InvalidArgumentError(f"{name} of an episode cannot be {given[name]!r:.80}")
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an environment or a policy of an evaluation was, as its contract says.

    Attributes:
        of: `environment` or `policy`.
        task: The task in which it was used.
        id: The id in the contract.
        fingerprint: The fingerprint of the contract. Of a vector environment, that of the contract
            of one sub-environment.
    """

    of: Literal["environment", "policy"]
    task: str
    id: str
    fingerprint: str

    @classmethod
    def from_dict(cls, data: object) -> Identity:
        """The identity with these attributes.

        Args:
            data: A mapping of the names of the attributes to their values, all texts.

        Raises:
            InvalidArgumentError: If `data` is not that.
        """
        names = {each.name for each in fields(cls)}
        known = as_object(data)
        if known is None or set(known) != names:
            raise InvalidArgumentError(
                f"a contract has {', '.join(sorted(names))}; got {data!r:.200}"
            )
        if not all(isinstance(value, str) for value in known.values()):
            raise InvalidArgumentError(f"all parts of a contract are texts; got {data!r:.200}")
        return cls(**known)
