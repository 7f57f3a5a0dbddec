"""How a policy did in a task, from its episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlmesh.evaluation.episode import Episode
from rlmesh.evaluation.intervals import Interval, mean_interval, proportion_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a policy did in one task, or in all of them.

    Episodes that an error has ended count in `errors`, and in nothing else. Intervals have 95 %
    confidence.

    Attributes:
        task: The task; empty: all of them.
        episodes: How many episodes ended without an error.
        errors: How many an error ended.
        mean_return: The mean of their returns; NaN where there is none.
        return_interval: Where that mean lies, by bootstrap.
        mean_length: The mean number of steps; NaN where there is none.
        judged: How many episodes say whether they succeeded.
        success_rate: Which share of those did; None: none says so.
        success_interval: Where the rate lies, by Wilson; None likewise.
        env_step_seconds: How long the environment took for a step, in the mean; NaN where there
            was none. Resets are included.
        policy_step_seconds: How long the policy took for a step, in the mean.
        held_steps: In how many steps the last action was held, because the policy was late.
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
    env_step_seconds: float
    policy_step_seconds: float
    held_steps: int


def summary_of(task: str, episodes: Sequence[Episode]) -> Summary:
    """How a policy did in these episodes.

    Args:
        task: The task; empty: all.
        episodes: The episodes.

    Raises:
        StateError: If scipy is not installed.
    """
    ended = [each for each in episodes if each.error is None]
    returns = [each.total_reward for each in ended]
    judged = [each.success for each in ended if each.success is not None]
    steps = sum(each.length for each in ended)
    return Summary(
        task=task,
        episodes=len(ended),
        errors=len(episodes) - len(ended),
        mean_return=float(np.mean(returns)) if returns else math.nan,
        return_interval=mean_interval(returns),
        mean_length=steps / len(ended) if ended else math.nan,
        judged=len(judged),
        success_rate=sum(judged) / len(judged) if judged else None,
        success_interval=proportion_interval(sum(judged), len(judged)) if judged else None,
        env_step_seconds=sum(each.env_seconds for each in ended) / steps if steps else math.nan,
        policy_step_seconds=(
            sum(each.policy_seconds for each in ended) / steps if steps else math.nan
        ),
        held_steps=sum(each.held for each in ended),
    )
