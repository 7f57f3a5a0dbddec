"""`rlmesh.jax`: the same clients with JAX's arrays."""

from __future__ import annotations

import contextlib
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
import rlmesh.jax
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidActionError,
    InvalidArgumentError,
    InvalidObservationError,
)
from support.serving import serving


class Scripted(gymnasium.Env[Any, Any]):
    """Observations of a space, filled with the number of the step."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space = space
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action: Any = None
        self.number = 0

    def _filled(self, space: Any) -> Any:
        if isinstance(space, spaces.Dict):
            return {key: self._filled(part) for key, part in space.items()}
        if isinstance(space, spaces.Tuple):
            return tuple(self._filled(part) for part in space)
        if isinstance(space, spaces.Text):
            return "ab"
        if isinstance(space, spaces.Discrete):
            return space.dtype.type(self.number)
        return np.full(space.shape, self.number, space.dtype)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.number = 0
        return self._filled(self.observation_space), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.number += 1
        self.action = action
        return self._filled(self.observation_space), 0.25, False, False, {"row": np.ones(2)}


MIXED = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (3, 5, 7), np.uint8),
        "half": spaces.Box(-9, 9, (), np.float16),
        "none": spaces.Box(-9, 9, (0, 3), np.float32),
        "parts": spaces.Tuple(
            [spaces.MultiDiscrete([9] * 3, np.int8), spaces.Box(-9, 9, (2,), np.int32)]
        ),
        "text": spaces.Text(4),
        "door": spaces.Discrete(9, dtype=np.int32),
    }
)


@pytest.mark.parametrize("transport", [None, "grpc"])
def test_every_array_is_of_jax_and_of_the_declared_dtype_and_stays_as_it_is(
    transport: str | None,
) -> None:
    with (
        serving(Scripted(MIXED)) as server,
        rlmesh.jax.RemoteEnv(server.address, transport=transport, device="cpu") as client,
    ):
        kept = [client.reset()[0]]
        for _ in range(3):
            observation, reward, terminated, _, info = client.step(jnp.array([0.5, -0.5]))
            kept.append(observation)
            assert (reward, terminated, type(info["row"])) == (0.25, False, np.ndarray)
        # Each shows the number of its own step still: no later message was written over it.
        for number, observation in enumerate(kept):
            assert observation.pop("text") == "ab"
            first, second = observation.pop("parts")
            arrays = {**observation, "first": first, "second": second}
            for key, array in arrays.items():
                assert isinstance(array, jax.Array), key
                assert array.devices() == {jax.devices("cpu")[0]}
                np.testing.assert_array_equal(np.asarray(array), number)
            found = {key: (array.shape, array.dtype.name) for key, array in arrays.items()}
            assert found == {
                "image": ((3, 5, 7), "uint8"),
                "half": ((), "float16"),
                "none": ((0, 3), "float32"),
                "door": ((), "int32"),
                "first": ((3,), "int8"),
                "second": ((2,), "int32"),
            }
        made = client.step_many([jnp.zeros(2)] * 2)
        assert isinstance(made.observations["image"], jax.Array)
        assert made.observations["image"].shape == (2, 3, 5, 7)


def test_memory_of_the_caller_is_shared_and_a_view_is_copied_once() -> None:
    arrays = rlmesh.jax._Arrays(jax.devices("cpu")[0], narrow=False)
    memory = np.zeros(64 + 256, np.uint8)
    start = -memory.ctypes.data % 64
    aligned = memory[start : start + 256].view(np.float32)
    assert arrays(aligned).unsafe_buffer_pointer() == aligned.ctypes.data
    view = aligned.view()
    view.flags.writeable = False
    for source in (view, aligned[1:], aligned.reshape(8, 8).T, aligned.reshape(8, 8)[:, ::3]):
        expected = source.copy()
        made = arrays(source)
        aligned += 1
        np.testing.assert_array_equal(np.asarray(made), expected)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Box(-9, 9, (2,), np.float64), r"observation at \$ is float64.*become float32"),
        (spaces.Dict({"door": spaces.Discrete(9)}), r"at \$\.door is int64.*narrow=True"),
    ],
)
def test_observations_of_64_bits_are_refused_or_narrowed_and_never_silently(
    space: spaces.Space[Any], words: str
) -> None:
    with serving(Scripted(space)) as server:
        with pytest.raises(InvalidArgumentError, match=words):
            rlmesh.jax.RemoteEnv(server.address)
        # The refused client holds no session.
        with rlmesh.jax.RemoteEnv(server.address, narrow=True) as client:
            assert {leaf.dtype.itemsize for leaf in jax.tree.leaves(client.reset()[0])} == {4}
        with jax.enable_x64(True), rlmesh.jax.RemoteEnv(server.address) as client:
            assert {leaf.dtype.itemsize for leaf in jax.tree.leaves(client.reset()[0])} == {8}
    # The client asks when it is used, since x64 is a switch of a thread.
    with pytest.raises(InvalidArgumentError, match="x64 disabled"):
        rlmesh.jax._Arrays(jax.devices("cpu")[0], narrow=False)(np.zeros(2))


def test_an_integer_that_32_bits_do_not_hold_is_an_error() -> None:
    env = Scripted(spaces.Box(-(2**40), 2**40, (2,), np.int64))
    with serving(env) as server, rlmesh.jax.RemoteEnv(server.address, narrow=True) as client:
        client.reset()
        env.number = 2**33
        with pytest.raises(InvalidObservationError, match=f"{2**33 + 1}, which int32"):
            client.step(np.zeros(2, np.float32))


@pytest.mark.parametrize("device", ["gpu", "cpu:7", "cpu:-1", "", "cpu!"])
def test_a_device_that_is_not_there_is_refused_and_holds_no_session(device: str) -> None:
    with serving(Scripted(MIXED)) as server:
        for make in (rlmesh.jax.RemoteEnv, rlmesh.jax.RemoteVectorEnv):
            with pytest.raises(InvalidArgumentError, match="no such device for JAX, it has"):
                make(server.address, device=device)
        with pytest.raises(ArgumentTypeError, match=r"jax\.Device or its name, got int"):
            rlmesh.jax.RemoteEnv(server.address, device=0)
        for given in (None, "cpu", "cpu:0", jax.devices("cpu")[0]):
            rlmesh.jax.RemoteEnv(server.address, device=given).close()


def test_actions_are_arrays_of_jax_and_a_traced_one_is_refused() -> None:
    env = Scripted(MIXED)
    with serving(env) as server, rlmesh.jax.RemoteEnv(server.address) as client:
        client.reset()
        half = jnp.array([0.5, -0.5])
        for action in (half, half.astype(jnp.bfloat16), list(half), half.astype(jnp.float16)):
            client.step(action)
            np.testing.assert_array_equal(env.action, np.array([0.5, -0.5], np.float32))
        with pytest.raises(ArgumentTypeError, match="io_callback"):
            jax.jit(lambda action: client.step(action)[0]["half"])(half)
        deleted = half + 1
        deleted.delete()
        with pytest.raises(InvalidActionError, match="deleted"):
            client.step(deleted)
        client.step(half)


def test_a_vector_client_takes_and_gives_arrays_of_jax() -> None:
    envs = gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    local = gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    with (
        serving(envs) as server,
        rlmesh.jax.RemoteVectorEnv(server.address) as client,
        contextlib.closing(local),
    ):
        observations, _ = client.reset(seed=0)
        np.testing.assert_array_equal(np.asarray(observations), local.reset(seed=0)[0])
        actions = jnp.array([0, 1, 0])

        def apart(actions: Any) -> Any:
            client.step_async(actions)
            return client.step_wait()

        def many(actions: Any) -> Any:
            return jax.tree.map(lambda array: array[0], client.step_many([actions])[:4])

        for step in (client.step, apart, many):
            expected = local.step(np.asarray(actions))
            for got, wanted in zip(step(actions)[:4], expected[:4], strict=True):
                assert isinstance(got, jax.Array)
                np.testing.assert_array_equal(np.asarray(got), wanted)
                assert got.dtype == (np.float32 if wanted.dtype == np.float64 else wanted.dtype)
        assert client.metadata["jax"] is True


def test_what_several_servers_send_is_of_jax_too() -> None:
    first, second = (gymnasium.make("CartPole-v1") for _ in range(2))
    with (
        serving(first) as one,
        serving(second) as other,
        rlmesh.jax.RemoteVectorEnv([one.address, other.address]) as client,
    ):
        observations, _ = client.reset(seed=0)
        assert isinstance(observations, jax.Array)
        client.send(jnp.array([0, 1]))
        *arrays, infos = client.recv()
        assert [type(array) for array in arrays] == [type(observations)] * 4
        assert sorted(infos["env_id"]) == [0, 1]


def test_a_function_is_a_model_that_is_compiled_for_the_sizes_of_its_warm_up_alone() -> None:
    traced: list[int] = []

    def policy(seen: Any) -> Any:
        # Runs where JAX traces it, to compile it.
        traced.append(len(seen["state"]))
        return {"arm": jnp.tanh(seen["state"]), "open": seen["door"] > 0}

    served = rlmesh.jax.Model(
        policy,
        spaces.Dict({"state": spaces.Box(-1, 1, (2,)), "door": spaces.Discrete(3)}),
        spaces.Dict({"arm": spaces.Box(-1, 1, (2,)), "open": spaces.Discrete(2)}),
        device="cpu",
        warm_sizes=(4, 1),
        narrow=True,
    )
    seen = {
        "state": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2),
        "door": np.array([0, 1, 2]),
    }
    with rlmesh.ModelWorker(served) as worker, rlmesh.RemoteModel(worker.address) as model:
        assert traced == [1, 4]
        actions = model.predict_batch(seen)
        one = model.predict({"state": seen["state"][2], "door": np.int64(2)})
        assert traced == [1, 4]
        assert not model.model_contract.keeps_state
    np.testing.assert_allclose(actions["arm"], np.tanh(seen["state"]), rtol=1e-6)
    assert actions["open"].tolist() == [0, 1, 1]
    np.testing.assert_array_equal(one["arm"], actions["arm"][2])


def test_a_function_may_give_chunks_of_a_batch_that_is_larger_than_its_warm_up() -> None:
    box = spaces.Box(-1, 1, (3,))
    served = rlmesh.jax.Model(
        lambda seen: jnp.repeat(seen[:, None, :], 5, axis=1), box, box, horizon=5
    )
    several = np.array([[0.0, 0.5, 1.0], [1.0, 0.0, 0.5]], np.float32)
    with rlmesh.ModelWorker(served) as worker, rlmesh.RemoteModel(worker.address) as model:
        chunks = model.predict_chunk_batch(several)
        np.testing.assert_array_equal(chunks, np.repeat(several[:, None], 5, axis=1))
        np.testing.assert_array_equal(model.predict(several[0]), several[0])


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"warm_sizes": (0,)}, InvalidArgumentError, "warm_sizes must be 1 or more, got 0"),
        ({"warm_sizes": (1.5,)}, ArgumentTypeError, "warm_sizes must be an int"),
        ({"device": "abacus"}, InvalidArgumentError, "no such device"),
    ],
)
def test_a_wrong_argument_of_a_model_is_refused(
    wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        rlmesh.jax.Model(lambda seen: seen, **wrong)
