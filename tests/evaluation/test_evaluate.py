"""Each seed is run once, whatever runs at once, and after a kill at any point."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlmesh
from rlmesh.codec.infos.info_keys import ENV_REPLACED
from rlmesh.errors import ArgumentTypeError, ConnectionLostError, InvalidArgumentError, StateError
from rlmesh.evaluation.episode import Episode
from rlmesh.evaluation.evaluating import evaluate
from rlmesh.evaluation.results import Evaluation
from support.evaluated import Countdown, decide, several
from support.repository import ROOT


def run(workers: int | None = 1, envs: Any = Countdown, **given: Any) -> Evaluation:
    arguments: dict[str, Any] = {"episodes": 20, **given}
    return evaluate(decide, envs, workers=workers, **arguments)


@pytest.fixture(scope="module")
def expected() -> Evaluation:
    return run()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with rlmesh.EnvServer(Countdown, sessions=16) as server:
        yield server.address


@pytest.mark.parametrize("workers", [4, 16])
def test_the_result_does_not_depend_on_how_many_episodes_run_at_once(
    workers: int, expected: Evaluation
) -> None:
    assert run(workers) == expected
    assert [each.seed for each in expected.episodes] == list(range(20))
    assert len({each.total_reward for each in expected.episodes}) > 5


def test_no_worker_waits_for_the_longest_episode() -> None:
    others_over = threading.Event()

    class Long(Countdown):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            if seed == 0:
                assert others_over.wait(30)
            return super().reset(seed=seed, options=options)

    ended: list[int] = []

    def note(episode: Episode) -> None:
        ended.append(episode.seed)
        if len(ended) == 19:
            others_over.set()

    found = run(2, Long, on_episode=note)
    assert ended == [*range(1, 20), 0]
    assert [each.error for each in found.episodes] == [None] * 20


def test_vector_and_served_environments_have_the_same_episodes(
    expected: Evaluation, served: str, tmp_path: Path
) -> None:
    (tmp_path / "servers").write_text(f"{served}\n" * 3)
    with rlmesh.EnvServer(several(4)) as vector:
        for envs, workers in (
            (several(3), None),
            (lambda: several(7), 2),
            (served, 4),
            ([served, served, Countdown()], None),
            (f"file:{tmp_path / 'servers'}", None),
            (vector.address, 1),
        ):
            assert run(workers, envs).episodes == expected.episodes, envs


def test_a_file_that_was_cut_anywhere_is_gone_on_with(tmp_path: Path, expected: Evaluation) -> None:
    whole = tmp_path / "whole"
    assert run(2, resume=whole) == expected
    text = whole.read_bytes()
    for kept in (0, 7, text.index(b"\n") + 1, len(text) // 2, len(text) - 1, len(text)):
        cut = tmp_path / f"cut-{kept}"
        cut.write_bytes(text[:kept])
        again: list[Episode] = []
        assert run(3, resume=cut, on_episode=again.append) == expected
        assert len(again) == 20 - text[: text[:kept].rfind(b"\n") + 1].count(b'{"episode"')
        assert sorted(cut.read_bytes().splitlines()[0:1]) == text.splitlines()[0:1]
        assert cut.read_bytes().count(b'{"episode"') == 20


FULL = """
import resource, sys
from rlmesh import evaluate
from support.evaluated import Countdown, decide
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
try:
    evaluate(decide, Countdown, episodes=20, workers=2, resume=sys.argv[1])
except OSError as error:
    print(error.strerror)
"""


def test_a_full_disk_is_an_error_and_loses_nothing_that_was_written(
    tmp_path: Path, expected: Evaluation
) -> None:
    path = tmp_path / "episodes"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout == "File too large\n"
    kept = path.read_bytes()
    assert kept.endswith(b"}\n")
    again: list[Episode] = []
    assert run(2, resume=path, on_episode=again.append).episodes == expected.episodes
    assert len(again) == 20 - kept.count(b'{"episode"') < 20


def test_what_has_ended_is_kept_where_the_caller_is_interrupted(
    tmp_path: Path, expected: Evaluation
) -> None:
    ended: list[Episode] = []

    def interrupt(episode: Episode) -> None:
        ended.append(episode)
        if len(ended) == 5:
            raise KeyboardInterrupt

    path = tmp_path / "episodes"
    with pytest.raises(KeyboardInterrupt):
        run(2, resume=path, on_episode=interrupt)
    assert path.read_bytes().count(b'{"episode"') >= 5
    again: list[Episode] = []
    assert run(2, resume=path, on_episode=again.append) == expected
    assert not {each.seed for each in again} & {each.seed for each in ended}


def test_a_file_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "episodes"
    run(resume=path, episodes=3)
    before = path.read_bytes()
    with pytest.raises(InvalidArgumentError, match=r"max_steps was None and is 3; give each"):
        run(resume=path, episodes=3, max_steps=3)
    with pytest.raises(InvalidArgumentError, match="is of another evaluation: seeds was"):
        run(resume=path, episodes=4)
    assert path.read_bytes() == before
    (tmp_path / "notes").write_text("hello\n")
    with pytest.raises(InvalidArgumentError, match="is no file of an evaluation"):
        run(resume=tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "hello\n"
    path.write_bytes(before.replace(b'"length"', b'"width"', 1))
    with pytest.raises(InvalidArgumentError, match="line 3, is damaged; remove that line"):
        run(resume=path, episodes=3)


def test_an_environment_with_another_contract_does_not_go_on_with_the_file(tmp_path: Path) -> None:
    class Other(Countdown):
        metadata = {"render_modes": [], "render_fps": 20}  # noqa: RUF012 - as Gymnasium has it

    path = tmp_path / "episodes"

    def interrupt(episode: Episode) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(resume=path, on_episode=interrupt)
    before = path.read_bytes()
    with pytest.raises(InvalidArgumentError, match="all episodes of a task need the same contract"):
        run(envs=Other, resume=path)
    assert path.read_bytes() == before


def test_two_evaluations_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "episodes"

    def second(episode: Episode) -> None:
        with pytest.raises(StateError, match="another evaluation is writing"):
            run(resume=path)

    run(resume=path, episodes=1, on_episode=second)


@pytest.mark.parametrize("make", [Countdown, lambda **given: several(4, **given)])
def test_an_error_is_an_outcome_of_its_own_episode_alone(make: Any, expected: Evaluation) -> None:
    found = run(envs=lambda: make(breaks=(3, 11)))
    for each, other in zip(found.episodes, expected.episodes, strict=True):
        if each.seed in {3, 11}:
            assert each.error == f"RuntimeError: seed {each.seed} breaks"
            assert (each.ending, each.length, each.success) == ("error", 1, None)
        else:
            assert each == other


def test_a_policy_that_raises_ends_its_episode_alone() -> None:
    def picky(observation: Any) -> int:
        if observation[1] > 0.97:
            raise ZeroDivisionError("seven")
        return decide(observation)

    for envs in (Countdown, several(4)):
        found = evaluate(picky, envs, episodes=20)
        failed = [each for each in found.episodes if each.error]
        assert 0 < len(failed) < 20
        assert {each.error for each in failed} == {"ZeroDivisionError: seven"}


def test_actions_that_the_space_refuses_are_outcomes_that_say_so(served: str) -> None:
    found = evaluate(lambda observation: 9, served, episodes=2)
    assert all("InvalidActionError" in str(each.error) for each in found.episodes)


def test_an_episode_whose_connection_broke_is_run_again_over_another(expected: Evaluation) -> None:
    made: list[Any] = []

    class Breaking(Countdown):
        def step(self, action: Any) -> Any:
            if len(made) == 1 and self._seed == 2 and len(self.actions) == 1:
                raise ConnectionLostError("the server is gone")
            return super().step(action)

    def make() -> Any:
        made.append(Breaking())
        return made[-1]

    assert run(envs=make).episodes == expected.episodes
    assert len(made) == 2


class Losing(SyncVectorEnv):
    """Its second sub-environment is replaced in the third step, as a client says it."""

    steps = 0

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, infos = super().step(actions)
        self.steps += 1
        if self.steps == 3:
            truncated[1] = True
            lost = np.array([False, True, False])
            infos[ENV_REPLACED] = np.array([None, "the server was lost", None], object)
            infos[f"_{ENV_REPLACED}"] = lost
        return observations, rewards, terminated, truncated, infos


def test_an_episode_whose_server_was_replaced_is_run_again(expected: Evaluation) -> None:
    envs = Losing([Countdown] * 3, autoreset_mode=AutoresetMode.DISABLED)
    assert run(envs=envs).episodes == expected.episodes
    assert envs.steps > 3


def test_the_last_action_is_held_while_the_policy_is_late() -> None:
    env = Countdown(longest=40)

    def alternate(observation: Any) -> int:
        return 1 + int(observation[0]) % 2

    (episode,) = evaluate(alternate, env, seeds=[1], latency=0.3).episodes
    # A step lasts 0.1 s: three steps hold the last action, after the first of the episode.
    assert env.actions[:4] == [env.actions[0]] * 4
    assert len(env.actions) == episode.length > 8
    assert episode.held == episode.length - 1 - (episode.length - 1) // 4
    frozen = evaluate(alternate, env, seeds=[1], latency=0.09)
    assert (frozen.latency, frozen.episodes[0].held) == (0.09, 0)
    assert evaluate(decide, env, seeds=[1], latency="measured").latency == "measured"
    with pytest.raises(InvalidArgumentError, match="its metadata has no render_fps"):
        evaluate(decide, Silent, seeds=[1], latency="measured")


class Silent(Countdown):
    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it


def test_success_is_what_the_environment_says_and_never_guessed() -> None:
    said = [each.success for each in run().episodes]
    assert set(said) == {True, False}
    assert [each.success for each in run(envs=lambda: Countdown(solves="success")).episodes] == said
    assert {each.success for each in run(envs=lambda: Countdown(solves=None)).episodes} == {None}
    own = run(envs=lambda: Countdown(solves="mine"), success=lambda info: info.get("mine"))
    assert [each.success for each in own.episodes] == said
    # The last step that is allowed comes before the one that says so.
    assert {each.success for each in run(max_steps=1, seeds=[3], episodes=None).episodes} == {None}
    assert [each.success for each in run(envs=several(3), success="any").episodes] == said


def test_tasks_have_their_names_and_the_same_seeds(served: str, expected: Evaluation) -> None:
    found = run(None, {"short": lambda: Countdown(5), "served": served, "vector": several(2)})
    assert found.tasks == ("short", "served", "vector")
    assert [(each.task, each.seed) for each in found.episodes] == [
        (task, seed) for task in found.tasks for seed in range(20)
    ]
    returns = [each.total_reward for each in expected.episodes]
    assert [each.total_reward for each in found.episodes if each.task == "served"] == returns
    assert {(each.of, each.task) for each in found.contracts} == {
        ("environment", task) for task in found.tasks
    }


class Remembering:
    """A policy with the state of one episode."""

    def reset(self, seed: int) -> None:
        self.seed = seed

    def predict(self, observation: Any) -> int:
        return self.seed % 5


def test_a_policy_with_state_begins_each_episode() -> None:
    found = evaluate(Remembering(), Countdown, episodes=7)
    for each in found.episodes:
        assert each.total_reward == each.length * (each.seed % 5)


class Policy:
    """A model that is served, with a state for each session."""

    observation_space = Countdown().observation_space
    action_space = Countdown().action_space

    def predict(self, observation: Any, context: Any) -> int:
        context.state = (context.state or 0) + 1
        return (int(context.seed) + int(context.state)) % 5


def test_a_served_model_has_a_session_for_each_episode_that_runs(served: str) -> None:
    with rlmesh.ModelWorker(Policy()) as worker:
        alone = evaluate(worker.address, served, episodes=9)
        assert evaluate(worker.address, served, episodes=9, workers=4) == alone
        assert evaluate(worker.address, several(4), episodes=9).episodes == alone.episodes
        guarded = partial(rlmesh.RemoteModel[Any, Any], worker.address, transport="grpc")
        assert evaluate(guarded, served, episodes=9, workers=4) == alone
        with rlmesh.RemoteModel(worker.address) as model:
            assert evaluate(model, served, episodes=9).episodes == alone.episodes
    (policy,) = [each for each in alone.contracts if each.of == "policy"]
    assert len(policy.fingerprint) > 8
    assert not any(each.error for each in alone.episodes)


class Chunked:
    """A model that gives two actions at a time."""

    horizon = 2
    action_space = Countdown().action_space

    def predict_chunk(self, observation: Any) -> Any:
        return np.array([decide(observation), 3])


def test_chunks_are_a_policy_with_state() -> None:
    with rlmesh.Chunks(Chunked()) as chunks:
        found = evaluate(chunks, Countdown, episodes=5)
        assert evaluate(chunks, Countdown, seeds=[4, 2]).episodes == found.episodes[4:1:-2]
    assert not any(each.error for each in found.episodes)


def test_an_environment_of_the_caller_stays_open() -> None:
    env = gymnasium.make("CartPole-v1")
    found = evaluate(lambda observation: 1, env, episodes=3)
    assert found == evaluate(lambda observation: 1, "CartPole-v1", episodes=3, workers=2)
    env.reset(seed=0)
    env.close()


@pytest.mark.parametrize(
    ("error", "text", "given"),
    [
        (InvalidArgumentError, "give seeds= or episodes=", {"episodes": None}),
        (InvalidArgumentError, "and not both", {"seeds": [1]}),
        (InvalidArgumentError, "episodes must be 1 or more", {"episodes": 0}),
        (InvalidArgumentError, "there is no episode", {"episodes": None, "seeds": []}),
        (InvalidArgumentError, "1 is there more than once", {"episodes": None, "seeds": [1, 2, 1]}),
        (InvalidArgumentError, "a seed must be 0 or more", {"episodes": None, "seeds": [-1]}),
        (ArgumentTypeError, "a seed must be an integer", {"episodes": None, "seeds": [1.5]}),
        (InvalidArgumentError, "workers must be 1 or more", {"workers": 0}),
        (InvalidArgumentError, "max_steps must be 1 or more", {"max_steps": 0}),
        (InvalidArgumentError, "success must be", {"success": "often"}),
        (InvalidArgumentError, "latency must be", {"latency": "slow"}),
        (InvalidArgumentError, "latency must be 0 seconds", {"latency": -1.0}),
        (ArgumentTypeError, "latency must be", {"latency": True}),
        (ArgumentTypeError, "a policy is a callable", {"policy": 3}),
        (InvalidArgumentError, "is the address of a model", {"policy": "localhost"}),
        (ArgumentTypeError, "an environment is an id", {"envs": 3}),
        (InvalidArgumentError, "an empty mapping", {"envs": {}}),
        (InvalidArgumentError, "envs is empty", {"envs": []}),
        (InvalidArgumentError, "one episode at a time", {"policy": Remembering(), "workers": 2}),
        (
            InvalidArgumentError,
            "must leave its resets to the evaluation",
            {"envs": lambda: gymnasium.make_vec("CartPole-v1", 2)},
        ),
    ],
)
def test_what_cannot_be_run_is_refused(
    error: type[Exception], text: str, given: dict[str, Any], tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"policy": decide, "envs": Countdown, "episodes": 3, **given}
    with pytest.raises(error, match=text):
        evaluate(**arguments)
