"""The examples of examples/trainers/ learn remotely what they learn in their own process."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import runpy
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from gymnasium.vector import SyncVectorEnv

import rlmesh.sb3
import rlmesh.torch
from support.comparing import assert_same
from support.repository import ROOT
from support.serving import remote, remote_vector, serving

EXAMPLES = ROOT / "examples" / "trainers"
NUM_ENVS = 2

# Networks this small are slower on several threads.
torch.set_num_threads(1)


def cartpole() -> Any:
    return gymnasium.make("CartPole-v1")


def cartpoles() -> list[Any]:
    return [cartpole() for _ in range(NUM_ENVS)]


@contextlib.contextmanager
def clients() -> Generator[list[Any]]:
    with serving(cartpole, sessions=NUM_ENVS) as server, contextlib.ExitStack() as stack:
        made = [rlmesh.RemoteEnv(server.address) for _ in range(NUM_ENVS)]
        for client in made:
            stack.callback(client.close)
        yield made


@contextlib.contextmanager
def vector_of_one() -> Generator[Any]:
    with remote(cartpole()) as client:
        yield SyncVectorEnv([lambda: client])


@contextlib.contextmanager
def one_in_a_list() -> Generator[list[Any]]:
    with remote(cartpole()) as client:
        yield [client]


# What makes an environment in this process, and what a remote one.
Way = tuple[Callable[[], Any], Callable[[], contextlib.AbstractContextManager[Any]]]
SINGLE: Way = (cartpole, lambda: remote(cartpole()))
VECTOR: Way = (
    lambda: SyncVectorEnv([cartpole] * NUM_ENVS),
    lambda: remote_vector(cartpoles()),
)
SAME_STEP: Way = (
    lambda: SyncVectorEnv([cartpole] * NUM_ENVS, autoreset_mode="SameStep"),
    lambda: remote_vector(cartpoles(), autoreset="same_step"),
)
WAYS: dict[str, Way] = {
    "cleanrl_ppo single": (lambda: SyncVectorEnv([cartpole]), vector_of_one),
    "cleanrl_ppo vector": VECTOR,
    "skrl_ppo single": SINGLE,
    "skrl_ppo vector": VECTOR,
    "tianshou_dqn single": (lambda: [cartpole()], one_in_a_list),
    "tianshou_dqn several": (cartpoles, clients),
    "torchrl_ppo single": SINGLE,
    "torchrl_ppo vector": SAME_STEP,
}
STEPS = 2048


# TorchRL warns of classes that it declares itself.
@pytest.mark.filterwarnings("ignore:Creating .*WeightUpdater which:DeprecationWarning")
@pytest.mark.parametrize("name", WAYS)
def test_a_trainer_learns_the_same_weights_and_fills_no_log(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    local, served = WAYS[name]
    learn = runpy.run_path(str(EXAMPLES / f"{name.partition(' ')[0]}.py"))["learn"]
    expected = learn(local(), STEPS)
    with served() as env, caplog.at_level(logging.INFO, "rlmesh"):
        weights = learn(env, STEPS)
        told = [record.getMessage() for record in caplog.records if "rlmesh" in record.name]
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    # The beginning and the end of sessions is all that a server logs of a trainer that probes for
    # attributes that no environment has.
    assert [message for message in told if not message.startswith("session ")] == []
    assert len(told) <= 2 * NUM_ENVS


# Minari warns of what a dataset does not say, and leaves its temporary folders to Python.
@pytest.mark.filterwarnings("ignore::UserWarning:minari")
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dataset_of_minari_is_the_one_that_is_recorded_locally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    record = runpy.run_path(str(EXAMPLES / "minari_record.py"))["record"]
    with remote(cartpole()) as client:
        datasets = [record(client, "cartpole/remote-v0"), record(cartpole(), "cartpole/local-v0")]
    assert datasets[0].total_episodes == 5
    recorded, expected = (
        [
            (episode.observations, episode.actions, episode.rewards, episode.terminations)
            for episode in dataset.iterate_episodes()
        ]
        for dataset in datasets
    )
    assert_same(recorded, expected)
    del datasets
    # While its warnings are ignored.
    gc.collect()


def test_a_probe_for_an_attribute_that_no_environment_has_reaches_no_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with remote(cartpole()) as client, remote_vector(cartpoles()) as envs:
        with caplog.at_level(logging.DEBUG, "rlmesh"):
            for name in ("action_masks", "device", "num_agents", "possible_agents", "state_space"):
                assert not hasattr(client, name)
                assert not hasattr(envs, name)
                assert not client.has_wrapper_attr(name)
                with pytest.raises(AttributeError):
                    envs.get_attr(name)
            assert [record for record in caplog.records if "rlmesh" in record.name] == []


def test_skrl_recognises_the_subclasses_of_the_clients() -> None:
    from skrl.envs.wrappers.torch import wrap_env

    class Mine(rlmesh.torch.RemoteEnv):
        pass

    class Several(rlmesh.torch.RemoteVectorEnv):
        pass

    for kind, env in ((rlmesh.torch.RemoteEnv, cartpole()), (Mine, cartpole())):
        with serving(env) as server, contextlib.closing(kind(server.address)) as client:
            wrapped = wrap_env(client, verbose=False)
            assert wrapped.num_envs == 1
            assert wrapped.reset()[0].shape == (1, 4)
            assert wrapped.step(torch.tensor([[1]]))[1].shape == (1, 1)
    with serving(cartpoles()) as server:
        for several in (rlmesh.torch.RemoteVectorEnv, Several):
            with contextlib.closing(several(server.address, device="cpu")) as envs:
                wrapped = wrap_env(envs, verbose=False)
                assert wrapped.num_envs == NUM_ENVS
                assert wrapped.reset()[0].shape == (NUM_ENVS, 4)


@pytest.mark.filterwarnings("ignore:Creating .*WeightUpdater which:DeprecationWarning")
@pytest.mark.parametrize("name", ["cleanrl_ppo", "skrl_ppo", "torchrl_ppo"])
def test_an_example_runs_as_its_first_lines_say(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in lines[-2:]] == ["learned from 512 steps"] * 2


def test_the_learning_curve_of_cartpole_is_written(tmp_path: Path) -> None:
    names = runpy.run_path(str(EXAMPLES / "solve_cartpole.py"))
    with serving([cartpole() for _ in range(names["NUM_ENVS"])]) as server:
        with contextlib.closing(rlmesh.sb3.VecEnv(server.address)) as envs:
            result = names["learn"](envs, 512)
    names["write"](result, tmp_path)
    written = json.loads((tmp_path / "cartpole.json").read_text())
    assert 256 < written["steps"] <= 512
    assert [written["steps"], written["mean return"]] == result["curve"][-1]
    assert 8 < written["mean return"] < 80
    assert "<svg" in (tmp_path / "cartpole.svg").read_text()
