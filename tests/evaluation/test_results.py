"""What an evaluation says of its episodes: files, intervals, tables, comparisons."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.evaluation.comparison import compare
from rlmesh.evaluation.episode import Episode, Identity
from rlmesh.evaluation.intervals import mcnemar, mean_interval, paired_test, proportion_interval
from rlmesh.evaluation.results import Evaluation


def episode(seed: int, **given: Any) -> Episode:
    values: dict[str, Any] = {
        "task": "",
        "total_reward": float(seed),
        "length": 10,
        "success": seed % 2 == 0,
        "ending": "terminated",
        "env_seconds": 0.02,
        "policy_seconds": 0.01,
    }
    values |= {"seed": seed, **given}
    return Episode(**values)


def evaluation(episodes: list[Episode], **given: Any) -> Evaluation:
    values: dict[str, Any] = {"policy": "p", "latency": "frozen", **given}
    return Evaluation(episodes=tuple(episodes), **values)


MIXED = evaluation(
    [
        *(episode(seed, task="reach") for seed in range(4)),
        episode(4, task="reach", success=None, ending="max_steps", held=3),
        episode(0, task="push", ending="error", error="RuntimeError: \x1b[31m", success=None),
        episode(1, task="push", total_reward=math.inf),
    ],
    contracts=(Identity(of="environment", task="reach", id="Reach-v0", fingerprint="ab"),),
    versions={"rlmesh": "0.1.0"},
)


def test_a_file_of_json_gives_back_all_of_it(tmp_path: Path) -> None:
    MIXED.to_json(tmp_path / "m.json")
    read = Evaluation.from_json(tmp_path / "m.json")
    assert (read, read.versions) == (MIXED, MIXED.versions)
    assert [each.env_seconds for each in read.episodes] == [0.02] * 7
    # Any reader of JSON takes it, also one that knows no infinity.
    json.loads((tmp_path / "m.json").read_text(), parse_constant=pytest.fail)


def test_a_full_disk_leaves_the_files_that_are_there(tmp_path: Path) -> None:
    for name, write in (("m.json", MIXED.to_json), ("m.csv", MIXED.to_csv)):
        path = tmp_path / name
        write(path)
        before = path.read_bytes()
        (tmp_path / f"{name}.part").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left on device"):
            write(path)
        assert path.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv", "m.json"]


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    MIXED.to_json(path := tmp_path / "m.json")
    text = path.read_text()
    for changed, error in (
        ("{", "is no JSON"),
        ("[]", "is no evaluation"),
        (text.replace('"version": 1', '"version": 9'), "is of version 9"),
        (text.replace('"policy":', '"who":'), "is damaged: 'policy'"),
        (text.replace('"length": 10', '"length": "ten"'), "length of an episode cannot be 'ten'"),
    ):
        path.write_text(changed)
        with pytest.raises(InvalidArgumentError, match=error):
            Evaluation.from_json(path)


def test_a_file_of_csv_has_a_row_for_each_episode(tmp_path: Path) -> None:
    MIXED.to_csv(tmp_path / "m.csv")
    with (tmp_path / "m.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], int(row["seed"])) for row in rows] == [
        (each.task, each.seed) for each in MIXED.episodes
    ]
    assert {row["success"] for row in rows} == {"True", "False", ""}


def test_a_summary_counts_errors_apart_and_unknown_success_not_at_all() -> None:
    pytest.importorskip("scipy")
    reach = MIXED.summary("reach")
    assert (reach.episodes, reach.errors, reach.mean_return, reach.judged) == (5, 0, 2.0, 4)
    assert (reach.success_rate, reach.held_steps) == (0.5, 3)
    assert reach.env_step_seconds == pytest.approx(0.002)
    assert (MIXED.summary("push").errors, MIXED.summary().errors) == (1, 1)
    with pytest.raises(InvalidArgumentError, match="there is no task 'pull'"):
        MIXED.summary("pull")
    nothing = evaluation([]).summary()
    assert math.isnan(nothing.mean_return)
    assert nothing.success_rate is None


def test_a_table_has_a_row_for_each_task_and_steers_no_terminal() -> None:
    pytest.importorskip("scipy")
    from rich.console import Console

    console = Console(width=140, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(replace(MIXED, policy="\x1b[31mmine").table())
    text = captured.get()
    assert [name for name in ("reach", "push", "all") if name in text] == ["reach", "push", "all"]
    assert "50.0% [15.0, 85.0], 1 unknown" in text
    assert "\x1b" not in text


def test_a_picture_and_a_frame_have_all_tasks(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    pytest.importorskip("matplotlib")
    pd = pytest.importorskip("pandas")
    MIXED.plot(tmp_path / "m.svg")
    assert (tmp_path / "m.svg").read_text().count("<svg") == 1
    with pytest.raises(InvalidArgumentError, match="names no format of a picture"):
        MIXED.plot(tmp_path / "m.doc")
    frame = MIXED.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert (len(frame), list(frame["seed"])[:3]) == (7, [0, 1, 2])


def test_intervals_of_a_rate_hold_it_about_as_often_as_they_say() -> None:
    binom = pytest.importorskip("scipy.stats").binom
    for trials in (20, 50, 200):
        intervals = np.array([proportion_interval(hits, trials) for hits in range(trials + 1)])
        coverages: list[float] = []
        for rate in np.linspace(0.1, 0.9, 9):
            held = (intervals[:, 0] <= rate) & (rate <= intervals[:, 1])
            coverage = binom.pmf(np.arange(trials + 1), trials, rate)[held].sum()
            # Of few trials the steps between hits show: 0.975 of 20 for a rate of 0.3.
            assert 0.93 < coverage < 0.98, (trials, rate, coverage)
            coverages.append(coverage)
        assert 0.93 < np.mean(coverages) < 0.97


def test_intervals_of_a_mean_hold_it_about_as_often_as_they_say() -> None:
    pytest.importorskip("scipy")
    rng = np.random.default_rng(7)
    intervals = [mean_interval(list(rng.normal(3, 2, 40))) for _ in range(100)]
    assert 0.90 < sum(low <= 3 <= high for low, high in intervals) / 100 < 0.98
    assert mean_interval([1.0, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0])
    assert mean_interval([2.5]) == (2.5, 2.5)


def test_equal_policies_are_seldom_taken_for_different_ones() -> None:
    pytest.importorskip("scipy")
    rng = np.random.default_rng(8)
    alarms = sum(
        paired_test(list(rng.standard_exponential(12) * rng.choice([-1, 1], 12))) < 0.05
        for _ in range(100)
    )
    assert alarms <= 10
    # McNemar's test of n unequal pairs, over all ways in which they can fall.
    for unequal in (1, 6, 15, 40):
        binom = pytest.importorskip("scipy.stats").binom
        p = np.array([mcnemar(only, unequal - only) for only in range(unequal + 1)])
        assert binom.pmf(np.arange(unequal + 1), unequal, 0.5)[p < 0.05].sum() <= 0.05


def better(seed: int) -> Episode:
    return episode(seed, total_reward=seed + 1.0 + seed % 3, success=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            better,
            ["B gets 1.975 more per episode", "20 with B alone", "B is better", "p = 1.9e-06"],
        ),
        (episode, ["no difference in the mean", "0 with B alone (p = 1). This may be chance."]),
        (lambda seed: episode(seed, success=None), ["Success: unknown"]),
    ],
)
def test_a_comparison_says_in_words_what_differs(
    change: Callable[[int], Episode], words: list[str]
) -> None:
    pytest.importorskip("scipy")
    one, two = [episode(seed) for seed in range(40)], [change(seed) for seed in range(40)]
    text = str(compare(evaluation(one), evaluation(two, policy="q")))
    assert text.startswith("A is p, B is q. Both ran 40 episodes.")
    assert not [each for each in words if each not in text], text
    assert compare(evaluation(one), evaluation(list(reversed(two)))).pairs == 40


def test_only_episodes_that_both_have_run_are_compared() -> None:
    pytest.importorskip("scipy")
    one = evaluation([episode(0), episode(1), episode(2, error="E: e", ending="error")])
    two = evaluation(
        [episode(1), episode(2), episode(3)],
        latency=0.1,
        contracts=(Identity(of="environment", task="", id="E-v1", fingerprint="cd"),),
    )
    found = compare(one, two)
    assert (found.pairs, found.unpaired, found.judged) == (1, 3, 1)
    assert "Not counted here: 3 other episodes, with an error or" in str(found)
    assert "The latency differs: frozen for A, 0.1 for B." in str(found)
    other = replace(one, contracts=(replace(two.contracts[0], fingerprint="ef"),))
    assert "The environment differs: E-v1, ef, for A and E-v1, cd, for B." in str(
        compare(other, two)
    )
    with pytest.raises(InvalidArgumentError, match="have no episode in common"):
        compare(one, evaluation([episode(7)]))
    with pytest.raises(ArgumentTypeError, match=r"Evaluation\.from_json reads one"):
        compare("a.json", two)  # type: ignore[arg-type] # wrong on purpose
