"""Each seed is run once, whatever the parallelism, and after a kill at any point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlmesh.errors import InvalidArgumentError
from rlmesh.evaluation.episode import Episode
from rlmesh.evaluation.evaluate import evaluate
from rlmesh.evaluation.results import Evaluation


def balance(observation: Any) -> int:
    return int(0.2 * observation[1] + observation[2] + 0.5 * observation[3] > 0)


def run(workers: int = 1, **given: Any) -> Evaluation:
    return evaluate(balance, "CartPole-v1", episodes=9, max_steps=60, workers=workers, **given)


@pytest.mark.parametrize("workers", [4, 16])
def test_the_result_does_not_depend_on_how_many_episodes_run_at_once(workers: int) -> None:
    assert run(workers) == run()


def test_a_file_that_was_cut_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    expected = run(2, resume=whole)
    text = whole.read_bytes()
    lines = text.splitlines(keepends=True)
    for kept in (0, 7, len(lines[0]), len(text) // 2, len(text) - 1, len(text)):
        cut = tmp_path / f"cut-{kept}"
        cut.write_bytes(text[:kept])
        again: list[Episode] = []
        assert run(3, resume=cut, on_episode=again.append) == expected
        assert len(again) == 9 - max(0, text[:kept].count(b"\n") - 1)
        assert len(cut.read_bytes().splitlines()) == 10


def test_a_file_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    run(resume=tmp_path / "episodes")
    with pytest.raises(InvalidArgumentError, match="is of another evaluation"):
        evaluate(balance, "CartPole-v1", episodes=3, resume=tmp_path / "episodes")
    (tmp_path / "notes").write_text("hello\n")
    with pytest.raises(InvalidArgumentError, match="is no file of an evaluation"):
        run(resume=tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "hello\n"


def test_what_cannot_be_run_is_refused_before_anything_runs() -> None:
    for given in ({}, {"episodes": 1, "seeds": [1]}, {"episodes": 0}, {"seeds": [1, 1]}):
        with pytest.raises(InvalidArgumentError):
            evaluate(balance, "CartPole-v1", **given)
