# What RLMesh uses of it; scipy itself has no types.
from collections.abc import Callable
from typing import Any, Protocol

from numpy.random import Generator
from numpy.typing import NDArray

class _Interval(Protocol):
    low: float
    high: float

class _Binomial(Protocol):
    pvalue: float
    def proportion_ci(self, confidence_level: float = ..., method: str = ...) -> _Interval: ...

class _Bootstrap(Protocol):
    confidence_interval: _Interval

class _Permutation(Protocol):
    pvalue: float

def binomtest(k: int, n: int, p: float = ..., alternative: str = ...) -> _Binomial: ...
def bootstrap(
    data: tuple[NDArray[Any], ...],
    statistic: Callable[..., Any],
    *,
    n_resamples: int = ...,
    batch: int | None = ...,
    confidence_level: float = ...,
    method: str = ...,
    rng: Generator | None = ...,
) -> _Bootstrap: ...
def permutation_test(
    data: tuple[NDArray[Any], ...],
    statistic: Callable[..., Any],
    *,
    permutation_type: str = ...,
    vectorized: bool | None = ...,
    n_resamples: int = ...,
    batch: int | None = ...,
    rng: Generator | None = ...,
) -> _Permutation: ...
