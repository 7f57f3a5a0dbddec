"""`rlmesh.sb3.VecEnv` gives what Stable-Baselines3's own `DummyVecEnv` gives, and is served too."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Generator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecMonitor,
    VecNormalize,
)

import rlmesh
import rlmesh.sb3
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidArgumentError,
    UnexposedAttributeError,
)
from support.comparing import assert_same
from support.serving import remote, remote_vector, serving

NUM_ENVS = 2
EXPOSED = ("level", "action_masks", "raised", "add")


class Counted(gymnasium.Env[Any, Any]):
    """Ends after three steps, by termination and truncation in turn; says so in its infos."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}  # noqa: RUF012 # as Gymnasium has it
    observation_space = spaces.Dict(
        position=spaces.Box(-9, 9, (2,), np.float32), count=spaces.Discrete(9)
    )
    action_space = spaces.Discrete(2)
    render_mode = "rgb_array"

    def __init__(self) -> None:
        self.level = 1
        self._steps = self._episodes = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        self._episodes += 1
        self._option = (options or {}).get("option", "none")
        return self._observed(), {"episode number": np.int64(self._episodes), "began": self._option}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        ends = self._steps == 3
        info: dict[str, Any] = {
            "steps": np.int64(self._steps),
            "where": {"level": np.int64(self.level)},
        }
        if ends:
            info["ended"] = np.True_
        truncates = self._episodes % 2 == 0
        return self._observed(), 0.1 * self.level, ends and not truncates, ends and truncates, info

    def render(self) -> Any:
        return np.full((2, 3, 3), self._steps, np.uint8)

    def action_masks(self) -> Any:
        return np.array([True, self._steps % 2 == 0])

    def raised(self, by: int) -> int:
        return self.level + by

    def add(self, by: int) -> int:
        self.level += by
        return self.level

    def _observed(self) -> Any:
        position = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"position": position, "count": np.int64(self._steps)}


def told(envs: Any) -> Any:
    """What a VecEnv returns over a few episodes."""
    envs.seed(5)
    results: list[Any] = [envs.reset()]
    rng = np.random.default_rng(1)
    for _ in range(8):
        results.append(envs.step(rng.integers(0, 2, NUM_ENVS)))
        results.append([dict(info) for info in envs.unwrapped.reset_infos])
    envs.set_options({"option": "later"})
    results.append(envs.reset())
    results.append([info["began"] for info in envs.unwrapped.reset_infos])
    return plain(results)


def plain(value: Any) -> Any:
    """A value whose dicts have one order of keys; Gymnasium's infos of vectors sort by arrival."""
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def local() -> DummyVecEnv:
    return DummyVecEnv([Counted] * NUM_ENVS)


@contextlib.contextmanager
def vector() -> Generator[Any]:
    with serving([Counted() for _ in range(NUM_ENVS)], expose=EXPOSED) as server:
        with contextlib.closing(rlmesh.sb3.VecEnv(server.address)) as envs:
            yield envs


@contextlib.contextmanager
def addresses() -> Generator[Any]:
    with serving(Counted(), expose=EXPOSED) as one, serving(Counted(), expose=EXPOSED) as two:
        with contextlib.closing(rlmesh.sb3.VecEnv([one.address, two.address])) as envs:
            yield envs


@contextlib.contextmanager
def of_a_vec_env() -> Generator[Any]:
    with serving(local(), expose=EXPOSED) as server:
        with contextlib.closing(rlmesh.sb3.VecEnv(server.address)) as envs:
            yield envs


SERVED: dict[str, Callable[[], Any]] = {
    "vector": vector,
    "addresses": addresses,
    "VecEnv": of_a_vec_env,
}


@pytest.mark.parametrize("name", SERVED)
def test_a_vec_env_gives_what_a_local_one_gives(name: str) -> None:
    with contextlib.closing(local()) as expected, SERVED[name]() as envs:
        assert isinstance(envs, gymnasium.Env) is isinstance(expected, gymnasium.Env)
        assert envs.observation_space == expected.observation_space
        assert envs.action_space == expected.action_space
        assert envs.metadata == expected.metadata
        assert envs.render_mode == expected.render_mode
        assert_same(told(envs), told(expected))
        assert_same(list(envs.get_images()), list(expected.get_images()))
        assert_same(envs.render(), expected.render())


@pytest.mark.parametrize("name", SERVED)
def test_attributes_and_methods_reach_the_sub_environments(name: str) -> None:
    with contextlib.closing(local()) as expected, SERVED[name]() as envs:
        for one in (expected, envs):
            one.reset()
            assert one.get_attr("level") == [1, 1]
            one.set_attr("level", 4, indices=1)
            assert one.get_attr("level") == [1, 4]
            assert one.get_attr("level", indices=[1]) == [4]
            assert one.env_method("raised", 2) == [3, 6]
            assert one.env_method("add", by=1) == [2, 5]
            one.set_attr("level", 7)
            assert one.get_attr("level", indices=0) == [7]
            assert np.stack(one.env_method("action_masks")).tolist() == [[True, True]] * 2
            assert np.stack(one.env_method("action_masks", indices=[1])).tolist() == [[True, True]]
            assert one.has_attr("action_masks")
            assert not one.has_attr("nothing_such")
            assert one.env_is_wrapped(gymnasium.wrappers.TimeLimit) == [False, False]
        with pytest.raises(UnexposedAttributeError, match="nothing_such"):
            envs.get_attr("nothing_such")
        with pytest.raises(InvalidArgumentError, match=r"add of the sub-environments \[0\] alone"):
            envs.env_method("add", 1, indices=0)


def test_a_single_environment_is_one_of_one_by_address_and_by_client() -> None:
    with contextlib.closing(DummyVecEnv([Counted])) as made:
        made.seed(3)
        expected = plain([made.reset(), *(made.step(np.array([1])) for _ in range(7))])
    for given in ("address", "client"):
        with serving(Counted(), expose=EXPOSED) as server:
            target: Any = server.address if given == "address" else rlmesh.RemoteEnv(server.address)
            with contextlib.closing(rlmesh.sb3.VecEnv(target)) as envs:
                envs.seed(3)
                actual = [envs.reset(), *(envs.step(np.array([1])) for _ in range(7))]
                assert_same(plain(actual), expected)
                envs.set_attr("level", 3)
                assert envs.get_attr("level") == [3]
                assert envs.env_method("raised", 2) == [5]
                assert_same(list(envs.get_images()), [np.full((2, 3, 3), 1, np.uint8)])


def test_the_client_of_a_vec_env_must_reset_at_the_step_that_ends_an_episode() -> None:
    with remote_vector([Counted()]) as client:
        with pytest.raises(InvalidArgumentError, match="got a client whose autoreset mode is 'Nex"):
            rlmesh.sb3.VecEnv(client)


def test_what_is_no_address_and_no_client_is_refused() -> None:
    wrong: Any = Counted()
    with pytest.raises(ArgumentTypeError, match=r"expected an address.*got Counted"):
        rlmesh.sb3.VecEnv(wrong)
    with remote(Counted()) as client:
        with pytest.raises(ArgumentTypeError, match="takes no options, got token; give them to Re"):
            rlmesh.sb3.VecEnv(client, token="x")
    with pytest.raises(InvalidArgumentError, match="leave it out"):
        rlmesh.sb3.VecEnv("tcp://127.0.0.1:1", copy=False)


def test_an_older_release_is_refused_with_the_one_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stable_baselines3.__version__", "1.8.0")
    monkeypatch.delitem(sys.modules, "rlmesh.sb3")
    with pytest.raises(ImportError, match=r"stable-baselines3 2\.0 or newer, and 1\.8\.0 is"):
        importlib.import_module("rlmesh.sb3")


def test_options_that_differ_are_refused() -> None:
    with vector() as envs:
        envs.set_options([{"option": "a"}, {"option": "b"}])
        with pytest.raises(InvalidArgumentError, match="all sub-environments get the same options"):
            envs.reset()


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "VecMonitor": VecMonitor,
    "VecNormalize": lambda envs: VecNormalize(envs, norm_obs_keys=["position"]),
}


def wrapped(envs: Any) -> Any:
    """What a wrapped VecEnv returns, but for how many seconds an episode took."""
    results = told(envs)
    for _, _, _, infos in results[1:-2:2]:
        for info in infos:
            # Infos of vectors hold NumPy's numbers.
            if "episode" in info:
                info["episode"] = [float(info["episode"][key]) for key in "rl"]
    return results


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_of_stable_baselines_stands_on_either_side(name: str) -> None:
    wrap = WRAPPERS[name]
    with contextlib.closing(wrap(local())) as made:
        expected = wrapped(made)
    with vector() as envs:
        assert_same(wrapped(wrap(envs)), expected)
    with serving(wrap(local())) as server:
        with contextlib.closing(rlmesh.sb3.VecEnv(server.address)) as envs:
            assert_same(wrapped(envs), expected)


def test_a_vec_env_is_served_as_a_vector_environment() -> None:
    makers = [lambda: gymnasium.make("CartPole-v1")] * NUM_ENVS
    with (
        contextlib.closing(DummyVecEnv(makers)) as expected,
        remote_vector(DummyVecEnv(makers)) as client,
    ):
        assert client.spec is not None
        assert client.spec.id == "CartPole-v1"
        assert client.autoreset_mode is gymnasium.vector.AutoresetMode.SAME_STEP
        client.reset(seed=[5, 9])
        expected.seed(0)[:] = [5, 9]
        expected.reset()
        ended = 0
        for _ in range(40):
            observations, rewards, dones, infos = expected.step(np.array([1, 1]))
            actual: Any = client.step(np.array([1, 1]))
            assert_same(actual[0], observations)
            assert_same(actual[1].astype(np.float32), rewards)
            assert_same(actual[2] | actual[3], dones)
            for env_index in np.flatnonzero(dones):
                ended += 1
                last = actual[4]["final_obs"][env_index]
                assert_same(last, infos[env_index]["terminal_observation"])
        assert ended


def test_an_atari_game_in_the_wrapper_of_stable_baselines_is_as_in_process() -> None:
    ale_py = pytest.importorskip("ale_py")
    gymnasium.register_envs(ale_py)

    def make() -> Any:
        return AtariWrapper(gymnasium.make("ALE/Breakout-v5", frameskip=1))

    def frames(envs: Any) -> Any:
        envs.seed(1)
        results = [envs.reset()]
        rng = np.random.default_rng(1)
        results += [envs.step(rng.integers(0, 4, 1))[:3] for _ in range(120)]
        assert any(done.any() for _, _, done in results[1:])
        return results

    with contextlib.closing(DummyVecEnv([make])) as local_envs:
        expected = frames(local_envs)
    with serving(make()) as server, contextlib.closing(rlmesh.sb3.VecEnv(server.address)) as envs:
        assert_same(frames(envs), expected)
