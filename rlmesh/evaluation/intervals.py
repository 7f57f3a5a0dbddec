"""Confidence intervals and tests, by scipy. The same values have the same intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rlmesh.errors import StateError

_RESAMPLES = 9999
# How many numbers a resampling has in memory at once.
_AT_ONCE = 1 << 21


class Interval(NamedTuple):
    """Between which two numbers something lies, with 95 % confidence.

    Attributes:
        low: The lower.
        high: The higher.
    """

    low: float
    high: float


def proportion_interval(successes: int, trials: int) -> Interval:
    """Wilson's interval of a probability; from 0 to 1 without a trial.

    Args:
        successes: How many succeeded.
        trials: Of how many.

    Raises:
        StateError: If scipy is not installed.
    """
    if not trials:
        return Interval(0.0, 1.0)
    found = stats().binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return Interval(float(found.low), float(found.high))


def mean_interval(values: Sequence[float]) -> Interval:
    """A bootstrap interval of a mean.

    Args:
        values: The values. Without any, the interval has no ends; with equal ones, no width.

    Raises:
        StateError: If scipy is not installed.
    """
    if not values:
        return Interval(float("-inf"), float("inf"))
    if len(set(values)) == 1 or not np.isfinite(values).all():
        mean = float(np.mean(values))
        return Interval(mean, mean)
    found = stats().bootstrap(
        (np.asarray(values, float),),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=_batch(len(values)),
        confidence_level=0.95,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    interval = found.confidence_interval
    return Interval(float(interval.low), float(interval.high))


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact test, two-sided: the probability of so unequal numbers by chance.

    Args:
        only_a: In how many pairs only the first succeeded.
        only_b: In how many only the second.

    Raises:
        StateError: If scipy is not installed.
    """
    unequal = only_a + only_b
    # Without a pair that differs, nothing speaks for a difference.
    return float(stats().binomtest(only_a, unequal).pvalue) if unequal else 1.0


def paired_test(differences: Sequence[float]) -> float:
    """A permutation test, two-sided: the probability of so large a mean difference by chance.

    By chance each difference could as well have the other sign.

    Args:
        differences: What the second of each pair has more than the first.

    Raises:
        StateError: If scipy is not installed.
    """
    values = np.asarray(differences, float)
    values = values[values != 0.0]
    if not len(values) or not np.isfinite(values).all():
        return 1.0
    found = stats().permutation_test(
        (values, np.zeros_like(values)),
        _mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=_batch(len(values)),
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def _mean_difference(a: Any, b: Any, axis: int) -> Any:
    return np.mean(a - b, axis=axis)


def _batch(length: int) -> int:
    return max(1, _AT_ONCE // length)


def stats() -> Any:
    """`scipy.stats`.

    Raises:
        StateError: If scipy is not installed.
    """
    try:
        from scipy import stats as found
    except ImportError as error:
        raise StateError(
            "intervals need scipy, which is not installed; install it with "
            "pip install 'rlmesh[evaluate]'"
        ) from error
    return found
