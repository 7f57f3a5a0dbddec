"""Clients as objects: `spec`, `repr`, `with`, copies."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeAwareObservation

import rlmesh
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, InvalidEnvError, StateError
from support.serving import remote, serving
from support.vector_envs import SubEnv

THERE = "OnlyThere-v3"


def served_there() -> gymnasium.Env[Any, Any]:
    """An environment of an id that is not registered when the client comes."""
    gymnasium.register(
        THERE,
        "gymnasium.envs.classic_control:CartPoleEnv",
        max_episode_steps=7,
        reward_threshold=3.5,
        nondeterministic=True,
    )
    try:
        return gymnasium.make(THERE)
    finally:
        del gymnasium.registry[THERE]


def test_the_spec_of_an_environment_that_is_not_registered_here_has_what_the_contract_knows() -> (
    None
):
    with remote(served_there()) as client:
        spec = client.spec
        assert spec is not None
        assert (spec.id, spec.max_episode_steps, spec.reward_threshold) == (THERE, 7, 3.5)
        assert spec.nondeterministic
        assert EnvSpec.from_json(spec.to_json()).id == THERE


def test_a_wrapper_that_reads_the_spec_works_where_the_environment_is_not_registered() -> None:
    with remote(served_there()) as client:
        env = TimeAwareObservation(client)
        env.reset(seed=0)
        observation, *_ = env.step(1)
        assert observation[-1] == 1


def test_an_environment_that_is_not_registered_here_cannot_be_made_of_its_spec() -> None:
    with remote(served_there()) as client:
        assert client.spec is not None
        with pytest.raises(InvalidEnvError, match=r"cannot be made here.*rlmesh.RemoteEnv"):
            gymnasium.make(client.spec)


def test_a_vector_client_is_a_context_manager() -> None:
    with serving([SubEnv()]) as server:
        with rlmesh.RemoteVectorEnv[Any, Any](server.address) as client:
            client.reset()
        assert client.closed
        with pytest.raises(StateError, match="is closed"):
            client.reset()


def test_repr_shows_address_and_transport() -> None:
    with serving(SubEnv()) as one, serving([SubEnv(), SubEnv()]) as two:
        with rlmesh.RemoteEnv[Any, Any](one.address, transport="grpc") as client:
            assert repr(client) == f"RemoteEnv({one.address!r}, transport='grpc')"
        with rlmesh.RemoteVectorEnv[Any, Any](two.address, transport="shm") as client:
            shown = repr(client)
        assert shown == f"RemoteVectorEnv({two.address!r}, num_envs=2, transport='shm')"
        addresses = [one.address, two.address]
        with rlmesh.RemoteVectorEnv[Any, Any](addresses, transport="grpc") as client:
            shown = repr(client)
        assert shown == f"RemoteVectorEnv({addresses!r}, num_envs=3, transport='grpc')"


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("vector", [False, True], ids=["single", "vector"])
def test_a_copy_of_a_client_is_refused_with_what_to_do(
    how: Callable[[Any], Any], vector: bool
) -> None:
    with serving([SubEnv()] if vector else SubEnv()) as server, contextlib.ExitStack() as stack:
        make: Any = rlmesh.RemoteVectorEnv if vector else rlmesh.RemoteEnv
        client = make(server.address)
        stack.callback(client.close)
        with pytest.raises(ArgumentTypeError, match=r"cannot be copied or pickled.*\(address\)"):
            how(client)
        client.reset()


def test_a_client_that_could_not_connect_has_a_repr() -> None:
    client = object.__new__(rlmesh.RemoteEnv)
    assert repr(client) == "<RemoteEnv, not connected>"


@pytest.mark.parametrize("mode", ["ansi", None])
def test_a_registered_client_is_made_with_the_render_mode_of_the_environment(
    mode: str | None,
) -> None:
    with serving(SubEnv()) as server:
        gymnasium.register("Far-v0", "rlmesh:RemoteEnv", kwargs={"address": server.address})
        try:
            with gymnasium.make("Far-v0", render_mode=mode) as env:
                env.reset()
                assert (env.render_mode, env.render()) == ("ansi", "level 1, step 0")
        finally:
            del gymnasium.registry["Far-v0"]


@pytest.mark.parametrize("mode", ["human", "rgb_array"])
def test_another_render_mode_than_the_environments_is_refused_with_what_to_do(mode: str) -> None:
    with serving(SubEnv()) as server:
        for _ in range(2):
            # The second finds the endpoint free: the first has given it back.
            with pytest.raises(InvalidArgumentError, match=r"made with the render mode 'ansi'"):
                rlmesh.RemoteEnv(server.address, render_mode=mode)
