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
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, RemoteEnvError
from support.async_vectors import served_async_sub_envs
from support.comparing import assert_same
from support.plain_envs import PlainCounter, PlainVector
from support.serving import serving
from support.vector_envs import NoSwitch, ShapedSubEnv, SubEnv, sync_sub_envs

pytestmark = pytest.mark.usefixtures("each_transport")

EXPOSED = (
    "level",
    "scale",
    "table",
    "fail",
    "missing",
    "np_random",
    "_hidden",
    "__class__",
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
            with pytest.raises(InvalidArgumentError, match="no attribute 'table'") as caught:
                ask()
            assert "exposed: level, scale" in str(caught.value)
            assert "expose=" in str(caught.value)
        client.step(client.action_space.sample())


def test_nothing_is_exposed_by_itself() -> None:
    with remote_sub_envs(sync_sub_envs(), expose=()) as client:
        for name in ("level", "spec", "_hidden", "__class__", "__dict__", "close", "reset", ""):
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


def test_an_attribute_that_cannot_travel_is_its_text_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with remote_sub_envs(sync_sub_envs()) as client:
        client.reset(seed=1)
        with caplog.at_level(logging.WARNING, "rlmesh.server"):
            generators = client.get_attr("np_random")
    assert len(generators) == 3
    assert all("Generator(PCG64)" in text for text in generators)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "np_random" in message
    assert "Generator" in message


@pytest.mark.parametrize("verb", ["get_attr", "set_attr", "call"])
def test_a_vector_environment_without_a_way_to_its_sub_envs_is_named(verb: str) -> None:
    with remote_sub_envs(PlainVector(), expose=("closed",)) as client:
        arguments = ("closed", 1) if verb == "set_attr" else ("closed",)
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
    with remote(env, expose=("closed", "new", "render")) as client:
        assert client.get_wrapper_attr("closed") is False
        assert client.set_wrapper_attr("new", 1)
        assert env.new == 1  # type: ignore[attr-defined] # set by the client


def test_a_clients_own_attributes_come_first() -> None:
    with remote(SubEnv(), expose=("metadata", "env_index")) as client:
        assert client.get_wrapper_attr("metadata") is client.metadata
        assert client.set_wrapper_attr("metadata", {"a": 1})
        assert client.metadata == {"a": 1}


def test_set_wrapper_attr_without_force_makes_no_attribute() -> None:
    env = SubEnv()
    with remote(env, expose=("level", "new")) as client:
        assert client.set_wrapper_attr("level", 2, force=False)
        assert not client.set_wrapper_attr("new", 2, force=False)
        assert not client.set_wrapper_attr("unexposed", 2, force=False)
        assert (env.level, hasattr(env, "new")) == (2, False)
        with pytest.raises(InvalidArgumentError, match="unexposed"):
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
