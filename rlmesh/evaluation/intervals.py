"""Confidence intervals, by scipy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rlmesh.errors import StateError

_RESAMPLES = 9999


class Interval(NamedTuple):
    """Between which two numbers something lies, with 95 % confidence."""

    low: float
    high: float


def proportion_interval(successes: int, trials: int) -> Interval:
    """Wilson's interval of a probability; from 0 to 1 without a trial."""
    if not trials:
        return Interval(0.0, 1.0)
    found = stats().binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return Interval(float(found.low), float(found.high))


def mean_interval(values: Sequence[float]) -> Interval:
    """A bootstrap interval of a mean, the same for the same values.

    All values where there are fewer than two, or where they are equal.
    """
    if len(set(values)) < 2:
        return Interval(*(values[0], values[0]) if values else (float("-inf"), float("inf")))
    found = stats().bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=0.95,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    interval = found.confidence_interval
    return Interval(float(interval.low), float(interval.high))


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
