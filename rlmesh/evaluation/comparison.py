"""`rlmesh.compare`: whether one of two policies did better, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.evaluation.episode import Episode
from rlmesh.evaluation.intervals import Interval, mcnemar, mean_interval, paired_test
from rlmesh.evaluation.results import Evaluation
from rlmesh.foreign_text import LONGEST_TEXT, one_line

# Below this a difference is not taken for chance.
_SURE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two policies, A and B, in the same episodes. `str` says it in words.

    Attributes:
        a: What the first is called.
        b: What the second is called.
        pairs: How many episodes both ran without an error.
        unpaired: How many episodes one of them did not run, or ended with an error.
        return_difference: The mean of B's returns less A's.
        return_interval: Where that lies, with 95 % confidence, by a bootstrap of the pairs.
        return_p: How likely a difference so large is where both are equally good, by a permutation
            test of the pairs.
        judged: How many pairs say of both whether they succeeded.
        only_a: In how many of those only A did.
        only_b: In how many only B did.
        success_p: How likely so unequal numbers are where both succeed equally often, by McNemar's
            exact test. None: no pair is judged.
        remarks: What else differs between the two evaluations, in words.
    """

    a: str
    b: str
    pairs: int
    unpaired: int
    return_difference: float
    return_interval: Interval
    return_p: float
    judged: int
    only_a: int
    only_b: int
    success_p: float | None
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        """What was found, in words."""
        a, b = one_line(self.a), one_line(self.b)
        lines = [f"A is {a}, B is {b}. Both ran {_count(self.pairs, 'episode')}."]
        if self.unpaired:
            lines.append(
                f"Not counted here: {_count(self.unpaired, 'other episode')}, with an error or run "
                f"by one of them only."
            )
        return "\n".join([*lines, self._of_returns(), self._of_success(), *self.remarks])

    def _of_returns(self) -> str:
        if not self.return_difference and self.return_p == 1.0:
            return "Return: no difference in the mean."
        low, high = self.return_interval
        more = "more" if self.return_difference > 0 else "less"
        return (
            f"Return: B gets {abs(self.return_difference):.4g} {more} per episode "
            f"(95 % interval of B less A: {low:.4g} to {high:.4g}; p = {self.return_p:.2g}). "
            + self._verdict(self.return_p, b_better=self.return_difference > 0)
        )

    def _of_success(self) -> str:
        if self.success_p is None:
            return "Success: unknown, as no pair of episodes says whether both succeeded."
        return (
            f"Success: of {_count(self.judged, 'episode')}, {self.only_a} succeeded with A alone "
            f"and {self.only_b} with B alone (p = {self.success_p:.2g}). "
            + self._verdict(self.success_p, b_better=self.only_b > self.only_a)
        )

    @staticmethod
    def _verdict(p: float, *, b_better: bool) -> str:
        if p >= _SURE:
            return "This may be chance."
        return f"{'B' if b_better else 'A'} is better: chance alone seldom does this."


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Compares two policies in the episodes that both have run: the same task, the same seed.

    Args:
        a: The evaluation of the one.
        b: The evaluation of the other.

    Returns:
        What differs, and whether chance explains it.

    Raises:
        ArgumentTypeError: If one is no `Evaluation`.
        InvalidArgumentError: If they have no episode in common.
        StateError: If scipy is not installed.
    """
    for each in (a, b):
        if not isinstance(each, Evaluation):
            raise ArgumentTypeError(
                f"compare takes two of rlmesh.Evaluation; got {type(each).__name__} {each!r:.80}; "
                f"Evaluation.from_json reads one from a file"
            )
    pairs = _pairs(a, b)
    if not pairs:
        raise InvalidArgumentError(
            "the two evaluations have no episode in common that ended without an error; evaluate "
            "both with the same tasks and seeds"
        )
    differences = [two.total_reward - one.total_reward for one, two in pairs]
    said = [(one.success, two.success) for one, two in pairs]
    judged = [pair for pair in said if None not in pair]
    only_a, only_b = judged.count((True, False)), judged.count((False, True))
    every = {(each.task, each.seed) for each in (*a.episodes, *b.episodes)}
    return Comparison(
        a=a.policy,
        b=b.policy,
        pairs=len(pairs),
        unpaired=len(every) - len(pairs),
        return_difference=float(np.mean(differences)),
        return_interval=mean_interval(differences),
        return_p=paired_test(differences),
        judged=len(judged),
        only_a=only_a,
        only_b=only_b,
        success_p=mcnemar(only_a, only_b) if judged else None,
        remarks=tuple(_remarks(a, b)),
    )


def _pairs(a: Evaluation, b: Evaluation) -> list[tuple[Episode, Episode]]:
    others = {(each.task, each.seed): each for each in b.episodes if each.error is None}
    found = [(each, others.get((each.task, each.seed))) for each in a.episodes]
    return [(one, two) for one, two in found if one.error is None and two is not None]


def _remarks(a: Evaluation, b: Evaluation) -> list[str]:
    found: list[str] = []
    if a.latency != b.latency:
        found.append(f"The latency differs: {a.latency} for A, {b.latency} for B.")
    known = {each.task: each for each in a.contracts if each.of == "environment"}
    for two in b.contracts:
        one = known.get(two.task)
        if two.of == "environment" and one is not None and one.fingerprint != two.fingerprint:
            where = f" of the task {two.task!r}" if two.task else ""
            found.append(
                one_line(
                    f"The environment{where} differs: {one.id}, {one.fingerprint}, for A and "
                    f"{two.id}, {two.fingerprint}, for B. What differs in the results may come "
                    f"from that.",
                    LONGEST_TEXT,
                )
            )
    return found


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
