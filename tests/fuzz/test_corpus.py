"""What the fuzzer has found, through the same targets, also where there is no fuzzer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from random import Random

import pytest

from fuzz import guard
from fuzz.corpus import inputs
from fuzz.target import FindingError, Target
from fuzz.targets.catalogue import TARGETS
from support.notes import add_note


@contextlib.contextmanager
def naming(name: str) -> Generator[None]:
    """Adds to an error which input it is about."""
    try:
        yield
    except Exception as error:
        add_note(error, name)
        raise


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_a_decoder_withstands_what_was_found(target: Target) -> None:
    if target.linux and sys.platform != "linux":
        pytest.skip("there is no such transport here")
    with target.opened() as feed, guard.guarded(feed) as fed:
        for name, data in inputs(target):
            with naming(name):
                fed(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_mutations_follow_from_their_seed_and_change_something(target: Target) -> None:
    one, other = Random(5), Random(5)  # noqa: S311 - mutations are no secrets
    seeds = list(target.seeds())[:20]
    mutated = [target.mutate(seed, one) for seed in seeds * 3]
    assert mutated == [target.mutate(seed, other) for seed in seeds * 3]
    assert any(new is not None and new != old for new, old in zip(mutated, seeds * 3, strict=True))


def test_what_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_SECONDS", 0.001)
    with guard.guarded(lambda data: [None for _ in range(10**6)].clear()) as fed:
        with pytest.raises(FindingError, match=r"2 bytes took .* s of processor time"):
            fed(b"ab")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a peak that is over")
def test_what_takes_too_much_memory_is_found_though_it_is_given_back() -> None:
    def greedy(data: bytes) -> None:
        bytes(bytearray(b"x") * (guard.MOST_BYTES + (8 << 20)))

    with guard.guarded(greedy) as fed, pytest.raises(FindingError, match="MiB of memory"):
        fed(b"")
