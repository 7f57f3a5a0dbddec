"""`call`, `get_attr`, `set_attr` and their like, for the names that a server exposes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

import rlmesh
from rlmesh.contract.exposed_names import OWN_NAMES, is_client_name
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidArgumentError,
    RemoteEnvError,
    UnexposedAttributeError,
)
from support.async_vectors import served_async_sub_envs
from support.comparing import assert_same
from support.plain_envs import PlainCounter, PlainVector
from support.serving import serving
from support.vector_envs import NoSwitch, ShapedSubEnv, SubEnv, sync_sub_envs

pytestmark = pytest.mark.usefixtures("transports_in_turn")

EXPOSED = (
    "level",
    "scale",
    "table",
    "fail",
    "missing",
    "_hidden",
    "name",
)
SUB_ENVS = 3


@contextlib.contextmanager
def remote(env: Any, *, expose: Any = EXPOSED) -> Generator[rlmesh.RemoteEnv[Any, Any]]:
    with (
        serving(env, expose=expose) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        yield client


@contextlib.contextmanager
def remote_sub_envs(
    env: Any, *, expose: Any = EXPOSED
) -> Generator[rlmesh.RemoteVectorEnv[Any, Any]]:
    with (
        serving(env, expose=expose) as server,
        contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any](server.address)) as client,
    ):
        yield client


def sub_envs_of(kind: str) -> Any:
    match kind:
        case "num_envs":
            return sync_sub_envs(num_envs=SUB_ENVS)
        case "wrapped sub-environments":
            return NoSwitch(NoSwitch(sync_sub_envs(num_envs=SUB_ENVS)))
        case "list":
            return [SubEnv() for _ in range(SUB_ENVS)]
        case _:
            return [ShapedSubEnv() for _ in range(SUB_ENVS)]


KINDS = ["num_envs", "wrapped sub-environments", "list", "list of plain objects"]


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_of_sub_envs_are_called_read_and_set_as_locally(kind: str) -> None:
    with (
        contextlib.closing(sync_sub_envs(num_envs=SUB_ENVS)) as local,
        remote_sub_envs(sub_envs_of(kind)) as client,
    ):
        envs: Any
        for envs in (local, client):
            envs.reset(seed=1)
            assert_same(envs.get_attr("level"), (1, 1, 1))
            envs.set_attr("level", 5)
            assert_same(envs.get_attr("level"), (5, 5, 5))
            envs.set_attr("level", [1, "two", (3, None)])
            assert_same(envs.get_attr("level"), (1, "two", (3, None)))
            envs.set_attr("level", np.array([7, 8]))
            assert_same(envs.call("level"), (np.array([7, 8]),) * SUB_ENVS)
            scaled = np.arange(4.0).reshape(2, 2) * 2 + 0.5
            assert_same(envs.call("scale", 2, plus=0.5), (scaled,) * SUB_ENVS)


def test_attributes_of_sub_envs_in_worker_processes(tmp_path: Path) -> None:
    with served_async_sub_envs("box", "NEXT_STEP", tmp_path) as served:
        client = rlmesh.RemoteVectorEnv[Any, Any](served.address)
        with contextlib.closing(client):
            client.reset(seed=1)
            client.set_attr("level", (1, 2, 3))
            assert_same(client.get_attr("level"), (1, 2, 3))
            assert_same(client.call("scale", 0), (np.zeros((2, 2)),) * 3)
            client.step(client.action_space.sample())


def test_a_name_that_is_not_exposed_is_refused_by_name_and_the_session_goes_on() -> None:
    with remote_sub_envs(sync_sub_envs(), expose=("level", "scale")) as client:
        client.reset(seed=1)
        for ask in (
            lambda: client.get_attr("table"),
            lambda: client.set_attr("table", 1),
            lambda: client.call("table"),
        ):
            with pytest.raises(AttributeError, match="no attribute 'table'") as caught:
                ask()
            assert isinstance(caught.value, InvalidArgumentError)
            with pytest.raises(UnexposedAttributeError) as caught:
                ask()
            assert "exposed: level, scale" in str(caught.value)
            assert "expose=" in str(caught.value)
        client.step(client.action_space.sample())


def test_nothing_is_exposed_by_itself() -> None:
    with remote_sub_envs(sync_sub_envs(), expose=()) as client:
        for name in ("level", "_hidden", "__class__", "__dict__", "close", "reset", ""):
            with pytest.raises(InvalidArgumentError, match="exposed: none"):
                client.get_attr(name)


def test_what_is_exposed_is_exposed_be_it_private() -> None:
    with remote_sub_envs(sync_sub_envs()) as client:
        assert_same(client.get_attr("_hidden"), ("a private name",) * 3)


def test_what_an_attribute_raises_is_told_and_the_session_goes_on() -> None:
    with remote_sub_envs(sync_sub_envs()) as client:
        client.reset(seed=1)
        for ask, kind in (
            (lambda: client.get_attr("missing"), "AttributeError"),
            (lambda: client.call("fail"), "KeyError"),
            (lambda: client.call("scale"), "TypeError"),
            (lambda: client.set_attr("level", [1, 2]), "ValueError"),
        ):
            with pytest.raises(RemoteEnvError) as caught:
                ask()
            assert caught.value.exception_type == kind
        client.step(client.action_space.sample())


@pytest.mark.parametrize("value", [object(), lambda: 1, [1, {2}], {"a": np.array([object()])}])
def test_a_value_that_cannot_travel_is_refused_before_it_is_set(value: Any) -> None:
    with remote_sub_envs(sync_sub_envs()) as client:
        for ask in (
            lambda: client.set_attr("level", value),
            lambda: client.call("scale", value),
            lambda: client.call("scale", 1, plus=value),
        ):
            with pytest.raises(ArgumentTypeError, match="cannot travel"):
                ask()
        assert_same(client.get_attr("level"), (1, 1, 1))


class Opaque(SubEnv):
    """An environment with an attribute and a method that give what cannot travel."""

    @property
    def simulator(self) -> object:
        return object()

    def make(self) -> list[Any]:
        return [1, object()]


def test_a_value_of_the_environment_that_cannot_travel_is_an_error() -> None:
    with remote(Opaque(), expose=("simulator", "make")) as client:
        client.reset(seed=1)
        for ask in (
            lambda: client.get_wrapper_attr("simulator"),
            lambda: client.simulator,  # type: ignore[attr-defined] # the server exposes it
            client.get_wrapper_attr("make"),
        ):
            with pytest.raises(InvalidArgumentError, match="type object cannot travel"):
                ask()
        assert client.has_wrapper_attr("simulator")
        client.step(client.action_space.sample())
    with remote_sub_envs([Opaque() for _ in range(2)], expose=("simulator",)) as envs:
        with pytest.raises(InvalidArgumentError, match="type object cannot travel"):
            envs.get_attr("simulator")


@pytest.mark.parametrize("verb", ["get_attr", "set_attr", "call"])
def test_a_vector_environment_without_a_way_to_its_sub_envs_is_named(verb: str) -> None:
    with remote_sub_envs(PlainVector(), expose=("ended",)) as client:
        arguments = ("ended", 1) if verb == "set_attr" else ("ended",)
        with pytest.raises(InvalidArgumentError, match=rf"PlainVector has no {verb}\(\)"):
            getattr(client, verb)(*arguments)
        client.reset(seed=1)


@pytest.mark.parametrize("name", [None, 1, b"level"], ids=repr)
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    with remote_sub_envs(sync_sub_envs()) as client:
        with pytest.raises(ArgumentTypeError, match="must be a str"):
            client.get_attr(name)


@pytest.mark.parametrize(
    "expose", ["level", b"level", 5, None, [1], ["level", None], [["level"]]], ids=repr
)
def test_what_is_no_collection_of_names_cannot_be_exposed(expose: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="expose must be a collection of attribute names"):
        rlmesh.EnvServer(SubEnv(), expose=expose)


@pytest.mark.parametrize(
    "expose", [["level"], ("level",), {"level"}, {"level": 1}.keys()], ids=repr
)
def test_any_collection_of_names_can_be_exposed(expose: Any) -> None:
    with remote(SubEnv(), expose=expose) as client:
        assert client.get_wrapper_attr("level") == 1


def test_a_single_environments_attributes_are_found_through_wrappers_on_both_sides() -> None:
    env = SubEnv()
    with remote(TimeLimit(env, 10)) as client:
        wrapped: gymnasium.Env[Any, Any] = TimeLimit(client, 5)
        assert wrapped.get_wrapper_attr("level") == 1
        assert_same(wrapped.get_wrapper_attr("table"), env.table)
        assert wrapped.has_wrapper_attr("level")
        assert not wrapped.has_wrapper_attr("missing")
        assert not wrapped.has_wrapper_attr("unexposed")
        assert wrapped.set_wrapper_attr("level", 4)
        assert env.level == 4


def test_a_single_environments_method_is_called_where_it_lives() -> None:
    env = SubEnv()
    with remote(TimeLimit(env, 10)) as client:
        scale = client.get_wrapper_attr("scale")
        assert_same(scale(3, plus=1.0), env.table * 3 + 1)
        with pytest.raises(RemoteEnvError, match="no such thing"):
            client.get_wrapper_attr("fail")()
        with pytest.raises(ArgumentTypeError, match="cannot travel"):
            scale(object())


def test_a_plain_objects_attributes() -> None:
    env = PlainCounter()
    with remote(env, expose=("new",)) as client:
        assert client.set_wrapper_attr("new", 1)
        assert env.new == 1  # type: ignore[attr-defined] # set by the client


def test_an_exposed_attribute_is_the_environments_to_read_to_write_and_to_call() -> None:
    env = SubEnv()
    with remote(TimeLimit(env, 10)) as made:
        client: Any = TimeLimit(made, 5)
        bare: Any = client.unwrapped
        bare.level = 3
        assert (env.level, bare.level, client.get_wrapper_attr("level")) == (3, 3, 3)
        env.level = 4
        assert (bare.level, client.get_wrapper_attr("level")) == (4, 4)
        assert client.set_wrapper_attr("level", 5)
        assert (env.level, bare.level) == (5, 5)
        assert_same(bare.scale(3, plus=1.0), env.table * 3 + 1)
        assert not hasattr(bare, "missing")
        bare._hidden = "another text"  # exposed by its name
        assert env._hidden == "another text"  # as said
        with pytest.raises(ArgumentTypeError, match="cannot travel"):
            bare.level = object()
        assert env.level == 5


def test_an_exposed_attribute_of_sub_envs_is_a_tuple_of_the_environments() -> None:
    sub_envs = [SubEnv() for _ in range(3)]
    with remote_sub_envs(sub_envs) as client:
        envs: Any = client.unwrapped
        envs.level = [1, 2, 3]
        assert [env.level for env in sub_envs] == [1, 2, 3]
        assert envs.level == client.get_attr("level") == (1, 2, 3)


@pytest.mark.parametrize("vector", [False, True], ids=["single", "vector"])
def test_an_unexposed_name_cannot_be_set_on_a_client_unawares(vector: bool) -> None:
    expose = ("level",)
    made: Any = (
        remote_sub_envs([SubEnv()], expose=expose) if vector else remote(SubEnv(), expose=expose)
    )
    with made as opened:
        client: Any = opened
        with pytest.raises(AttributeError, match=r"expose=.*would change nothing"):
            client.table = 5
        with pytest.raises(AttributeError, match="expose="):
            _ = client.table
        assert not hasattr(client, "table")
        for name in ("_private", "reward_range", "spec", "metadata", "render_mode"):
            setattr(client, name, "own")
            assert getattr(client, name) == "own"
        client.np_random = generator = np.random.default_rng(1)
        assert client.np_random is generator
        for name in ("action_space", "observation_space"):
            setattr(client, name, gymnasium.spaces.Discrete(2))
            assert getattr(client, name) == gymnasium.spaces.Discrete(2)


class Declaring(rlmesh.RemoteEnv[Any, Any]):
    """A client with attributes of its own."""

    count: int
    limit = 1


def test_a_subclass_of_a_client_has_the_attributes_that_its_class_declares() -> None:
    with serving(SubEnv()) as server, Declaring(server.address) as client:
        client.count, client.limit = 2, 3
        assert (client.count, client.limit) == (2, 3)


def test_asking_for_an_unexposed_name_is_no_call_to_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with remote(SubEnv()) as client:
        with caplog.at_level(logging.DEBUG, "rlmesh.server"):
            for _ in range(3):
                assert not client.has_wrapper_attr("unexposed")
                assert not hasattr(client, "unexposed")
            assert client.stats().keys() <= {"attribute"}
        assert "attribute" not in client.stats()
    assert not [record for record in caplog.records if "unexposed" in record.getMessage()]


@pytest.mark.parametrize(
    "name", ["stats", "close", "transport", "step", "metadata", "np_random", "call", "__class__"]
)
def test_a_name_that_clients_use_themselves_cannot_be_exposed(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"have an attribute '{name}' themselves"):
        rlmesh.EnvServer(SubEnv(), expose=("level", name))


def names_of(client: Any) -> set[str]:
    kind: type = type(client)
    annotated = {name for base in kind.__mro__ for name in vars(base).get("__annotations__", ())}
    return annotated | set(dir(kind)) | set(vars(client))


def test_every_name_of_a_client_is_reserved_and_no_other() -> None:
    with remote(SubEnv(), expose=()) as single, remote_sub_envs([SubEnv()], expose=()) as several:
        used = names_of(single) | names_of(several)
    assert {name for name in used if not is_client_name(name)} == set()
    gymnasiums = names_of(gymnasium.Env()) | names_of(gymnasium.vector.VectorEnv())
    # Of the clients for PyTorch.
    assert OWN_NAMES - used == {"_device", "_stepped"}
    assert not OWN_NAMES & gymnasiums


def test_set_wrapper_attr_without_force_makes_no_attribute() -> None:
    env = SubEnv()
    with remote(env, expose=("level", "new")) as client:
        assert client.set_wrapper_attr("level", 2, force=False)
        assert not client.set_wrapper_attr("new", 2, force=False)
        assert not client.set_wrapper_attr("unexposed", 2, force=False)
        assert (env.level, hasattr(env, "new")) == (2, False)
        with pytest.raises(UnexposedAttributeError, match="unexposed"):
            client.set_wrapper_attr("unexposed", 2)


def test_an_attribute_that_nobody_has_is_an_attribute_error() -> None:
    with remote(SubEnv(), expose=("missing",)) as client:
        for name in ("missing", "unexposed"):
            with pytest.raises(AttributeError, match=name):
                client.get_wrapper_attr(name)


class Property(SubEnv):
    @property
    def broken(self) -> int:
        raise ZeroDivisionError("nothing to divide by")


def test_what_a_property_raises_is_told() -> None:
    with remote(Property(), expose=("broken",)) as client:
        for ask in (client.get_wrapper_attr, client.has_wrapper_attr):
            with pytest.raises(RemoteEnvError, match="nothing to divide by"):
                ask("broken")
