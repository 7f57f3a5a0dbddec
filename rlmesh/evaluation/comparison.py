"""Whether one of two policies did better, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlmesh.errors import InvalidArgumentError
from rlmesh.evaluation.episode import Episode
from rlmesh.evaluation.intervals import Interval, mean_interval, stats
from rlmesh.evaluation.results import Evaluation

_SURE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two policies, `a` and `b`, in the same episodes.

    Attributes:
        a: What the first is called.
        b: What the second is called.
        pairs: How many episodes both ran without an error.
        return_difference: The mean of b's returns less a's.
        return_interval: Where it lies, with 95 % confidence, by a bootstrap of the pairs.
        judged: How many pairs say of both whether they succeeded.
        only_a: In how many of those only the first did.
        only_b: In how many only the second did.
        success_p: McNemar's exact test: how likely so unequal numbers are where both succeed
            equally often. None: no pair is judged.
    """

    a: str
    b: str
    pairs: int
    return_difference: float
    return_interval: Interval
    judged: int
    only_a: int
    only_b: int
    success_p: float | None

    def __str__(self) -> str:
        """What was found, for people."""
        low, high = self.return_interval
        lines = [
            f"{self.pairs} episodes were run by both, {self.a} (A) and {self.b} (B).",
            f"B's mean return is {abs(self.return_difference):.4g} "
            f"{'higher' if self.return_difference >= 0 else 'lower'} "
            f"(95 % interval of the difference: {low:.4g} to {high:.4g}): "
            + (
                "that may be chance."
                if low <= 0 <= high
                else f"{'B' if low > 0 else 'A'} gets more."
            ),
        ]
        if self.success_p is None:
            lines.append("No episode says whether it succeeded.")
        else:
            better = "B" if self.only_b > self.only_a else "A"
            lines.append(
                f"Of {self.judged} episodes, {self.only_a} succeeded with A alone and "
                f"{self.only_b} with B alone (p = {self.success_p:.3g}): "
                + (
                    f"{better} succeeds more often."
                    if self.success_p < _SURE
                    else "that may be chance."
                )
            )
        return "\n".join(lines)


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Compares two policies in the episodes that both have run: same task, same seed.

    Args:
        a: The evaluation of the one.
        b: The evaluation of the other.

    Returns:
        What differs, and whether chance explains it.

    Raises:
        InvalidArgumentError: If they have no episode in common.
        StateError: If scipy is not installed.
    """
    pairs = _pairs(a, b)
    if not pairs:
        raise InvalidArgumentError(
            "the two evaluations have no episode in common that ended without an error; evaluate "
            "both with the same tasks and seeds"
        )
    differences = [two.total_reward - one.total_reward for one, two in pairs]
    judged = [(one.success, two.success) for one, two in pairs]
    judged = [pair for pair in judged if None not in pair]
    only_a = judged.count((True, False))
    only_b = judged.count((False, True))
    # Without a pair that differs, nothing speaks for a difference.
    unequal = only_a + only_b
    test = stats().binomtest(only_a, unequal).pvalue if unequal else 1.0
    return Comparison(
        a=a.policy,
        b=b.policy,
        pairs=len(pairs),
        return_difference=float(np.mean(differences)),
        return_interval=mean_interval(differences),
        judged=len(judged),
        only_a=only_a,
        only_b=only_b,
        success_p=float(test) if judged else None,
    )


def _pairs(a: Evaluation, b: Evaluation) -> list[tuple[Episode, Episode]]:
    others = {(each.task, each.seed): each for each in b.episodes if each.error is None}
    found = [(each, others.get((each.task, each.seed))) for each in a.episodes]
    return [(one, two) for one, two in found if one.error is None and two is not None]
