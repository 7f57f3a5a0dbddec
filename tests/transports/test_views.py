"""`copy=False` hands out views that hold until the next call; else what is given is the user's."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.transports.copying import left_to_reader
from support.comparing import assert_same
from support.sample_envs import SPACES, EchoEnv, ScriptedEnv
from support.sample_spaces import BOOL
from support.serving import serving
from support.vector_envs import KINDS, told
from support.vector_envs import sync_sub_envs as sub_envs_of

pytestmark = pytest.mark.usefixtures("each_transport")

# Every kind of space, and bools, of which every byte must be a bool of NumPy's.
OBSERVED = dict(SPACES)
OBSERVED["bools"] = lambda: spaces.Box(0, 1, (9,), BOOL)
STEPS = 15
# Larger than a page, a connection's first room and what grpc sends in one go.
FRAME = (300, 200, 3)
MANY = np.arange(20000.0).reshape(200, 100)


def arrays(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays in a value."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from arrays(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from arrays(part)


class Observed(EchoEnv):
    """Observes samples of a space; its action is a number."""

    def __init__(self, kind: str) -> None:
        super().__init__("discrete")
        self.observation_space = OBSERVED[kind]()


class Counting(ScriptedEnv):
    """Observes an image full of the number of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(0, 255, FRAME, np.uint8)
        self.position = np.zeros(FRAME, np.uint8)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        self.position = np.zeros(FRAME, np.uint8)
        return self.position, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.position = self.position + np.uint8(1)
        return self.position, 1.0, False, False, {}


class Logging(Counting):
    """Tells a long log in its infos."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:4], {"log": bytes(1 << 20)}


@contextlib.contextmanager
def two_clients(make: Any, client: Any) -> Generator[tuple[Any, Any]]:
    """Clients of two environments that do the same: one with copies, and one with views."""
    with (
        serving(make()) as first,
        serving(make()) as second,
        contextlib.closing(client(first.address)) as copying,
        contextlib.closing(client(second.address, copy=False)) as viewing,
    ):
        yield copying, viewing


@contextlib.contextmanager
def counting(*, copy: bool) -> Generator[rlmesh.RemoteEnv[Any, Any]]:
    with (
        serving(Counting()) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address, copy=copy)) as client,
    ):
        client.reset(seed=0)
        yield client


@pytest.mark.parametrize("kind", OBSERVED)
def test_views_are_equal_to_copies_and_read_only(kind: str) -> None:
    with two_clients(lambda: Observed(kind), rlmesh.RemoteEnv) as (copying, viewing):
        for seed in (3, None):
            copy, view = copying.reset(seed=seed), viewing.reset(seed=seed)
            for _ in range(STEPS):
                assert_same(view, copy)
                assert not any(array.flags.writeable for array in arrays(view[0]))
                assert all(array.flags.writeable for array in arrays(copy[0]))
                action = copying.action_space.sample()
                copy, view = copying.step(action), viewing.step(action)


@pytest.mark.parametrize("kind", KINDS)
def test_views_of_sub_envs_are_equal_to_copies_and_read_only(kind: str) -> None:
    with two_clients(lambda: sub_envs_of(kind), rlmesh.RemoteVectorEnv) as (copying, viewing):
        both = zip(told(copying, STEPS), told(viewing, STEPS), strict=True)
        for (what, copy), (_, view) in both:
            assert_same(view, copy, what)
            assert not any(array.flags.writeable for array in arrays(view[0]))
            assert all(array.flags.writeable for array in arrays(copy[0]))
            # Rewards and flags are the user's all the same.
            if what.startswith("step"):
                assert all(part.flags.writeable for part in view[1:4])


def test_a_view_cannot_be_written_to() -> None:
    with counting(copy=False) as client:
        observation = client.step(client.action_space.sample())[0]
        with pytest.raises(ValueError, match="read-only"):
            observation[0] = 7


def test_a_view_is_no_copy_and_holds_until_the_next_call() -> None:
    with counting(copy=False) as client:
        action = client.action_space.sample()
        for number in range(1, 20):
            observation = client.step(action)[0]
            assert not observation.flags.owndata
            assert observation.base is not None
            assert np.all(observation == number)
            assert np.all(observation == number), "also when it is looked at again"


def test_a_view_outlives_its_client() -> None:
    with counting(copy=False) as client:
        observation = client.step(client.action_space.sample())[0]
    # Whatever it shows: the memory is there.
    assert observation.sum() >= 0


def test_copies_are_the_users_own_and_no_later_step_changes_them() -> None:
    with counting(copy=True) as client:
        action = client.action_space.sample()
        kept = [client.reset(seed=0)[0], *(client.step(action)[0] for _ in range(10))]
        for number, observation in enumerate(kept):
            assert np.all(observation == number)
            assert observation.flags.writeable
            observation[:] = 200
        assert np.all(client.step(action)[0] == 11)
        assert all(np.all(observation == 200) for observation in kept)


class Measuring(ScriptedEnv):
    """Observes many numbers of eight bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(-np.inf, np.inf, MANY.shape, np.float64)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return MANY, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return MANY, 1.0, False, False, {}


def test_a_large_observation_is_aligned_writable_and_kept_by_no_one_else() -> None:
    with (
        serving(Measuring()) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset(seed=0)
        action = client.action_space.sample()
        observations = [client.step(action)[0] for _ in range(4)]
        for observation in observations:
            assert observation.flags.aligned
            assert observation.flags.c_contiguous
            np.multiply(observation, 2, out=observation)
        for observation in observations:
            assert_same(observation, MANY * 2)


class TwoCameras(ScriptedEnv):
    """Observes two large images, a small state and a text."""

    def __init__(self) -> None:
        super().__init__()
        frame = spaces.Box(0, 255, FRAME, np.uint8)
        self.observation_space = spaces.Dict(
            left=frame, state=spaces.Box(-1, 1, (3,), np.float64), right=frame, text=spaces.Text(9)
        )
        self.seen = {
            "left": np.full(FRAME, 3, np.uint8),
            "state": np.array([0.5, -0.5, 1]),
            "right": np.full(FRAME, 7, np.uint8),
            "text": "abc",
        }

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.seen, 1.0, False, False, {}


def test_the_leaves_of_a_large_observation_are_the_users_own_each_by_itself() -> None:
    env = TwoCameras()
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset(seed=0)
        action = client.action_space.sample()
        first, second = client.step(action)[0], client.step(action)[0]
        first["left"].fill(9)
        first["state"].fill(0)
        assert all(array.flags.writeable and array.flags.aligned for array in arrays(second))
        assert_same(second, env.seen)
        assert_same(first["right"], env.seen["right"])


def test_a_small_leaf_does_not_keep_what_came_with_it() -> None:
    with (
        serving(TwoCameras()) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset(seed=0)
        state = client.step(client.action_space.sample())[0]["state"]
    assert state.base is None


def test_an_observation_does_not_keep_an_info_that_is_much_larger() -> None:
    with (
        serving(Logging()) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset(seed=0)
        observation, *_, info = client.step(client.action_space.sample())
    assert len(info["log"]) == 1 << 20
    assert observation.base is None
    assert_same(observation, np.ones(FRAME, np.uint8))


@pytest.mark.parametrize("nbytes", [1 << 15, (1 << 15) + 1, 1 << 20])
def test_a_message_that_is_left_to_its_reader_is_not_copied(nbytes: int) -> None:
    message = bytes(range(256)) * (nbytes // 256) + bytes(nbytes % 256)
    left = np.asarray(left_to_reader(message))
    assert np.shares_memory(left, np.frombuffer(message, np.uint8))
    assert left.flags.writeable
    assert bytes(left) == message


def test_copies_of_different_calls_share_no_memory() -> None:
    with (
        serving(EchoEnv("nested")) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        first = list(arrays(client.reset(seed=1)[0]))
        second = list(arrays(client.step(client.action_space.sample())[0]))
        assert len(first) > 8
        for place, one in enumerate([*first, *second]):
            for other in [*first, *second][place + 1 :]:
                assert not np.shares_memory(one, other)


def test_what_the_environment_is_given_is_its_own_whatever_the_client_has() -> None:
    env = ScriptedEnv()
    env.script["step"] = lambda: env.actions[-1].fill(9)
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address, copy=False)) as client,
    ):
        client.reset(seed=0)
        action = np.array([0.5, -0.25], np.float32)
        for _ in range(3):
            client.step(action)
        assert_same(action, np.array([0.5, -0.25], np.float32))
        assert len({given.__array_interface__["data"][0] for given in env.actions}) == 3


@pytest.mark.parametrize("copy", [True, False])
def test_observations_larger_than_planned_for_are_handed_out_too(copy: bool) -> None:
    # Texts and infos beyond what a segment has room for.
    text = "ä" * (3 << 19)
    env = ScriptedEnv()
    env.observation_space = spaces.Dict(
        {"text": spaces.Text(1 << 21), "number": spaces.Box(0, 9, (2,), np.int64)}
    )
    numbers = np.array([3, 4])
    env.script["reset"] = lambda: ({"text": "", "number": numbers}, {})
    env.script["step"] = lambda: (
        {"text": text, "number": numbers},
        1.0,
        False,
        False,
        {"much": bytes(3 << 20)},
    )
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address, copy=copy)) as client,
    ):
        client.reset(seed=0)
        for _ in range(3):
            observation, *_, info = client.step(np.zeros(2, np.float32))
            assert observation["text"] == text
            assert_same(observation["number"], numbers)
            assert info["much"] == bytes(3 << 20)
