"""What an evaluation found."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.evaluation.episode import Episode
from rlmesh.evaluation.intervals import Interval, mean_interval, proportion_interval

_KIND = "rlmesh evaluation result"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a policy did in one task, or in all of them.

    Episodes that an error has ended count in `errors`, and in nothing else.

    Attributes:
        task: The task; empty: all of them.
        episodes: How many episodes ended without an error.
        errors: How many were ended by one.
        mean_return: The mean of their returns; NaN where there is none.
        return_interval: Where it lies, with 95 % confidence, by bootstrap.
        mean_length: The mean number of steps.
        judged: How many episodes say whether they succeeded.
        success_rate: Which share of those did; None: none says so.
        success_interval: Where the rate lies, with 95 % confidence, by Wilson; None likewise.
    """

    task: str
    episodes: int
    errors: int
    mean_return: float
    return_interval: Interval
    mean_length: float
    judged: int
    success_rate: float | None
    success_interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The episodes of an evaluation, and what follows from them.

    Two are equal where the same happened in all episodes.

    Attributes:
        policy: What the policy is called.
        episodes: The episodes, by task and in the order of the seeds.
    """

    policy: str
    episodes: tuple[Episode, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in their order."""
        return tuple(dict.fromkeys(each.task for each in self.episodes))

    def summary(self, task: str | None = None) -> Summary:
        """How the policy did in one task; None: in all.

        Raises:
            InvalidArgumentError: If there is no such task.
            StateError: If scipy is not installed.
        """
        if task is not None and task not in self.tasks:
            raise InvalidArgumentError(
                f"there is no task {task!r}; there are {', '.join(map(repr, self.tasks))}"
            )
        chosen = [each for each in self.episodes if task is None or each.task == task]
        ended = [each for each in chosen if each.error is None]
        returns = [each.total_reward for each in ended]
        judged = [each.success for each in ended if each.success is not None]
        return Summary(
            task=task or "",
            episodes=len(ended),
            errors=len(chosen) - len(ended),
            mean_return=float(np.mean(returns)) if returns else float("nan"),
            return_interval=mean_interval(returns),
            mean_length=float(np.mean([each.length for each in ended])) if ended else float("nan"),
            judged=len(judged),
            success_rate=sum(judged) / len(judged) if judged else None,
            success_interval=proportion_interval(sum(judged), len(judged)) if judged else None,
        )

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to a file, which `from_json` reads.

        Raises:
            OSError: If it cannot be written.
        """
        data = {
            "kind": _KIND,
            "version": _VERSION,
            "policy": self.policy,
            "episodes": [each.to_dict() for each in self.episodes],
        }
        Path(path).write_text(json.dumps(data, indent=1) + "\n", "utf-8")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Evaluation:
        """Reads what `to_json` has written.

        Raises:
            InvalidArgumentError: If the file holds something else.
            OSError: If it cannot be read.
        """
        try:
            data = json.loads(Path(path).read_text("utf-8"))
        except ValueError as error:
            raise InvalidArgumentError(f"{path} is no JSON: {error}") from error
        if not isinstance(data, Mapping) or data.get("kind") != _KIND:
            raise InvalidArgumentError(f"{path} is none that Evaluation.to_json has written")
        if data["version"] != _VERSION:
            raise InvalidArgumentError(
                f"{path} is of version {data['version']!r}, and this RLMesh reads {_VERSION}"
            )
        return cls(
            policy=data["policy"],
            episodes=tuple(Episode.from_dict(each) for each in data["episodes"]),
        )

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes a table with a row for each episode.

        Raises:
            OSError: If it cannot be written.
        """
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, _columns())
            table.writeheader()
            table.writerows(each.to_dict() for each in self.episodes)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row for each episode.

        Raises:
            StateError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise StateError("to_pandas needs pandas; install it, or use to_csv") from error
        return pd.DataFrame([each.to_dict() for each in self.episodes], columns=_columns())


def _columns() -> Sequence[str]:
    return [each.name for each in fields(Episode)]
