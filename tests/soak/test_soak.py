"""The soak tells growth from noise, its numbers are those of the documentation, and it works."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from benchmarks.machine import Machine
from soak import legs, publishing, serving
from soak.results import Counts, Run
from soak.sampling import Sample
from soak.watched import Watched
from support.serving import serving as served

ROUNDS = 100
MIB = 1 << 20


def run(memory: Any, threads: int = 2, descriptors: Any = lambda _: 9) -> Run:
    made = Run(Machine.here())
    for place in range(ROUNDS):
        made.steps.append(place * 10_000)
        made.samples["client"].append(Sample(30 * MIB, 2, 8))
        made.samples["server"].append(Sample(int(memory(place)), threads, descriptors(place)))
    return made


def grown(made: Run) -> list[tuple[str, str]]:
    return [(growth.process, growth.what) for growth in made.growths() if not growth.flat]


def test_noise_and_what_is_taken_at_the_beginning_are_no_growth() -> None:
    random = Random(1)  # noqa: S311 - it is noise
    noise = run(lambda place: 30 * MIB + min(place, 30) * MIB + random.randrange(3 * MIB))
    assert grown(noise) == []


def test_a_leak_of_five_bytes_a_step_is_growth() -> None:
    assert grown(run(lambda place: 30 * MIB + place * 10_000 * 5)) == [("server", "memory")]


def test_a_descriptor_that_is_left_behind_now_and_then_is_growth() -> None:
    leaking = run(lambda _: 30 * MIB, descriptors=lambda place: 9 + place // 40)
    assert grown(leaking) == [("server", "descriptors")]


def test_the_numbers_of_the_page_are_those_of_the_raw_results() -> None:
    text = publishing.RESULTS.read_text()
    published = Run.from_json(text)
    assert published.to_json() == text
    assert publishing.page(published) == publishing.PAGE.read_text()
    assert grown(published) == []
    assert published.counts.steps >= 1_000_000


def test_the_numbers_of_an_hour_of_watching_are_those_of_the_raw_results_and_flat() -> None:
    text = publishing.WATCHED.read_text()
    published = Watched.from_json(text)
    assert published.to_json() == text
    assert publishing.page_watched(published) == publishing.PAGE.read_text()
    assert published.minutes >= 60
    for name in published.samples[0]:
        # The first quarter is that in which buffers and caches are filled.
        _, second, _, last = published.quarters(name)
        assert last < 1.05 * second, name


@pytest.mark.parametrize(("transport", "vector"), [("shm", True), ("grpc", False)])
def test_a_leg_goes_on_through_its_cuts(transport: str, vector: bool) -> None:
    counts = Counts()
    with served(serving.vector() if vector else serving.single()) as server:
        legs.run(legs.Leg(transport, vector, 60), server.address, Random(3), 2, counts)  # noqa: S311 - no secret
    assert (counts.steps, counts.sessions, counts.cuts) == (60, 1, 2)


def test_a_leg_whose_twin_differs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(serving.single()) as server:
        monkeypatch.setattr(serving, "ID", "MountainCar-v0")
        with pytest.raises(legs.SoakError, match="the local twin"):
            legs.run(legs.Leg("grpc", False, 1), server.address, Random(3), 0, Counts())  # noqa: S311 - no secret
