"""The clients in Gymnasium's registry: `gymnasium.make` and `gymnasium.make_vec`."""

from __future__ import annotations

import contextlib
import inspect
import subprocess
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import rlmesh
from rlmesh.errors import (
    ArgumentTypeError,
    EndpointBusyError,
    InvalidArgumentError,
    WrongEndpointKindError,
)
from rlmesh.registration import REMOTE_ID
from support.comparing import assert_same
from support.notes import notes_of
from support.serving import serving, start_python
from support.vector_envs import SubEnv, sync_sub_envs

STEPS = 20


def cartpole() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("CartPole-v1", render_mode="rgb_array")


def cartpoles(num_envs: int = 3, **settings: Any) -> Any:
    return gymnasium.make_vec("CartPole-v1", num_envs, vectorization_mode="sync", **settings)


def rollout(envs: Any) -> list[Any]:
    envs.action_space.seed(1)
    return [envs.reset(seed=1), *(envs.step(envs.action_space.sample()) for _ in range(STEPS))]


def test_make_gives_a_client_of_the_address_and_steps_as_the_environment() -> None:
    with serving(cartpole()) as server:
        with gymnasium.make(REMOTE_ID, address=server.address, transport="grpc") as env:
            # No wrapper of Gymnasium: the environment has those of its server.
            assert isinstance(env, rlmesh.RemoteEnv)
            assert env.transport == "grpc"
            with cartpole() as local:
                assert_same(rollout(env), rollout(local))
            assert env.spec is not None
            assert env.spec.id == REMOTE_ID


@pytest.mark.parametrize(
    ("imports", "name"),
    [
        ("import gymnasium, rlmesh", "rlmesh/Remote-v0"),
        ("import gymnasium", "rlmesh:rlmesh/Remote-v0"),
        ("import rlmesh, gymnasium", "rlmesh.registration:rlmesh/Remote-v0"),
        ("import rlmesh, gymnasium; rlmesh.RemoteEnv", "rlmesh/Remote-v0"),
    ],
    ids=["import", "module in the id", "module of the registration", "a client in use"],
)
def test_the_id_is_known_in_a_process_that_imported_the_package(imports: str, name: str) -> None:
    with serving(SubEnv()) as server:
        program = f"{imports}\ngymnasium.make({name!r}, address={server.address!r}).close()"
        with start_python(["-c", program], stderr=subprocess.PIPE) as process:
            _, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")


def test_make_checks_the_render_mode_against_the_environments() -> None:
    with serving(cartpole()) as server:
        with gymnasium.make(REMOTE_ID, address=server.address, render_mode="rgb_array") as env:
            env.reset(seed=1)
            frame = env.render()
            assert isinstance(frame, np.ndarray)
        with pytest.raises(InvalidArgumentError, match="made with the render mode 'rgb_array'"):
            gymnasium.make(REMOTE_ID, address=server.address, render_mode="human")


def test_make_vec_gives_a_client_of_a_vector_environment() -> None:
    with serving(cartpoles(render_mode="rgb_array")) as server:
        made = gymnasium.make_vec(
            REMOTE_ID, num_envs=3, address=server.address, render_mode="rgb_array", copy=False
        )
        with contextlib.closing(made), contextlib.closing(cartpoles()) as local:
            assert isinstance(made, rlmesh.RemoteVectorEnv)
            assert made.spec is not None
            assert made.spec.id == REMOTE_ID
            made.action_space.seed(1)
            local.action_space.seed(1)
            assert_same(made.reset(seed=1), local.reset(seed=1))
        with pytest.raises(InvalidArgumentError, match="made with the render mode 'rgb_array'"):
            gymnasium.make_vec(REMOTE_ID, num_envs=3, address=server.address, render_mode="human")


def test_make_vec_opens_a_session_for_each_sub_environment_of_a_single_endpoint() -> None:
    with serving(lambda: gymnasium.make("CartPole-v1"), sessions=3) as server:
        made = gymnasium.make_vec(REMOTE_ID, num_envs=3, address=server.address)
        with contextlib.closing(made), contextlib.closing(cartpoles()) as local:
            assert_same(rollout(made), rollout(local))


def test_make_vec_takes_the_id_that_names_the_module() -> None:
    with serving(lambda: gymnasium.make("CartPole-v1"), sessions=2) as server:
        for module in ("rlmesh", "rlmesh.registration"):
            made = gymnasium.make_vec(f"{module}:{REMOTE_ID}", num_envs=2, address=server.address)
            with contextlib.closing(made):
                assert isinstance(made, rlmesh.RemoteVectorEnv)


def test_make_vec_says_how_many_sessions_it_needs() -> None:
    with serving(SubEnv()) as server:
        with pytest.raises(EndpointBusyError) as caught:
            gymnasium.make_vec(REMOTE_ID, num_envs=2, address=server.address)
        assert "sessions=2" in notes_of(caught.value)[0]
        # What was opened is closed.
        gymnasium.make(REMOTE_ID, address=server.address).close()


def test_make_vec_sets_several_addresses_side_by_side() -> None:
    with serving(cartpole()) as one, serving(cartpoles(2)) as two:
        addresses = [one.address, two.address]
        made = gymnasium.make_vec(REMOTE_ID, num_envs=3, addresses=addresses)
        with contextlib.closing(made), contextlib.closing(cartpoles()) as local:
            assert_same(rollout(made), rollout(local))


def test_make_vec_in_its_mode_sync_makes_single_clients() -> None:
    with serving(lambda: gymnasium.make("CartPole-v1"), sessions=3) as server:
        made = gymnasium.make_vec(
            REMOTE_ID, num_envs=3, vectorization_mode="sync", address=server.address
        )
        with contextlib.closing(made), contextlib.closing(cartpoles()) as local:
            assert_same(rollout(made), rollout(local))


@pytest.mark.parametrize("several", [False, True], ids=["one address", "several"])
@pytest.mark.parametrize("num_envs", [1, 4])
def test_another_number_of_sub_environments_is_refused_and_nothing_stays_open(
    several: bool, num_envs: int
) -> None:
    with serving(sync_sub_envs()) as server:
        address: Any = [server.address] if several else server.address
        with pytest.raises(InvalidArgumentError, match=rf"num_envs={num_envs}: .* give num_envs=3"):
            rlmesh.RemoteVectorEnv(address, num_envs=num_envs)
        rlmesh.RemoteVectorEnv(address, num_envs=3).close()


@pytest.mark.parametrize(
    ("num_envs", "kind", "text"),
    [
        (0, InvalidArgumentError, "num_envs must be 1 or more, got 0"),
        ("3", ArgumentTypeError, "num_envs must be an int or None, got str '3'"),
        (True, ArgumentTypeError, "num_envs must be an int or None, got bool True"),
    ],
)
def test_what_is_no_number_of_sub_environments_is_refused(
    num_envs: Any, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        rlmesh.RemoteVectorEnv("tcp://127.0.0.1:9", num_envs=num_envs)


def test_without_a_number_a_vector_client_still_refuses_a_single_environment() -> None:
    with serving(SubEnv()) as server:
        with pytest.raises(WrongEndpointKindError, match=r"rlmesh\.RemoteEnv"):
            rlmesh.RemoteVectorEnv(server.address)


@pytest.mark.parametrize("given", [{}, {"address": "tcp://a:1", "addresses": ["tcp://a:1"]}])
def test_make_vec_needs_one_of_address_and_addresses(given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentTypeError, match="needs address= or addresses=, got"):
        gymnasium.make_vec(REMOTE_ID, num_envs=2, **given)


def test_make_without_an_address_says_what_is_missing() -> None:
    with pytest.raises(TypeError, match="required positional argument: 'address'"):
        gymnasium.make(REMOTE_ID)


def test_a_user_registers_both_clients_alike() -> None:
    with serving(lambda: gymnasium.make("CartPole-v1"), sessions=2) as server:
        gymnasium.register(
            "Mine-v0",
            "rlmesh:RemoteEnv",
            vector_entry_point="rlmesh:RemoteVectorEnv",
            kwargs={"address": server.address},
        )
        try:
            with gymnasium.make("Mine-v0") as env:
                env.reset()
            made = gymnasium.make_vec("Mine-v0", num_envs=2)
            with contextlib.closing(made), contextlib.closing(cartpoles(2)) as local:
                assert_same(rollout(made), rollout(local))
        finally:
            del gymnasium.registry["Mine-v0"]


def public_names(kind: type) -> set[str]:
    annotated = {name for base in kind.__mro__ for name in inspect.get_annotations(base)}
    return {name for name in annotated | set(dir(kind)) if not name.startswith("_")}


def test_a_vector_client_has_what_a_vector_environment_of_gymnasium_has() -> None:
    # What holds the sub-environments themselves, and how they are put together.
    local_only = {"envs", "env_fns", "copy", "observation_mode"}
    with contextlib.closing(sync_sub_envs()) as local, serving(sync_sub_envs()) as server:
        with rlmesh.RemoteVectorEnv[Any, Any](server.address) as client:
            names = public_names(gymnasium.vector.SyncVectorEnv) - local_only
            assert {name for name in names if not hasattr(client, name)} == set()
            assert client.autoreset_mode is AutoresetMode.NEXT_STEP
            assert local.metadata["autoreset_mode"] is client.autoreset_mode


def test_what_the_contract_says_of_a_sub_environment_is_an_attribute_of_each() -> None:
    names = ("render_mode", "metadata", "np_random_seed")
    local = cartpoles(render_mode="rgb_array")
    served = cartpoles(render_mode="rgb_array")
    with contextlib.closing(local), serving(served) as server:
        with rlmesh.RemoteVectorEnv[Any, Any](server.address) as client:
            for envs in (local, client):
                envs.reset(seed=5)
            for name in names:
                assert client.get_attr(name) == client.call(name) == local.get_attr(name)
            expected, told = local.get_attr("spec")[0], client.get_attr("spec")
            assert [spec.id for spec in told] == [expected.id] * 3
            assert told[0].max_episode_steps == expected.max_episode_steps
            assert told[0].kwargs == expected.kwargs
            with pytest.raises(AttributeError, match="expose="):
                client.get_attr("gravity")


def test_the_seeds_are_a_tuple_of_those_that_the_sub_environments_were_reset_with() -> None:
    with (
        contextlib.closing(sync_sub_envs(mode=AutoresetMode.DISABLED)) as made,
        serving(sync_sub_envs(mode=AutoresetMode.DISABLED)) as server,
        rlmesh.RemoteVectorEnv[Any, Any](server.address) as client,
    ):
        local: Any = made
        assert client.np_random_seed == (-1, -1, -1)
        for seed, mask in (
            (7, None),
            (None, None),
            ([3, None, 2], None),
            (np.array([10, 11, 12]), [False, True, True]),
        ):
            for envs in (local, client):
                options = None if mask is None else {"reset_mask": np.array(mask)}
                given: Any = [int(one) for one in seed] if isinstance(seed, np.ndarray) else seed
                envs.reset(seed=given, options=options)
            assert client.np_random_seed == local.np_random_seed
        assert client.np_random_seed == (3, 11, 12)
