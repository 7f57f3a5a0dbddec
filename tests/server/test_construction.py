"""What `EnvServer(...)` refuses, at once and with nothing left bound."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import gymnasium
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidArgumentError,
    InvalidEnvError,
    RlmeshError,
    UnsupportedSpaceError,
)
from support.sample_envs import EchoEnv, ScriptedEnv


class Spaced(gymnasium.Env[Any, Any]):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        self.observation_space = observation_space
        self.action_space = action_space


GRAPH = spaces.Graph(node_space=spaces.Discrete(2), edge_space=None)
SEQUENCE = spaces.Sequence(spaces.Discrete(2))
ONE_OF = spaces.OneOf([spaces.Discrete(2), spaces.Discrete(3)])

Make = Callable[[], Any]

WRONG: dict[str, tuple[Make, type[RlmeshError], type[Exception], str]] = {
    "no environment": (object, InvalidEnvError, TypeError, "env must be"),
    "an id": (lambda: "CartPole-v1", InvalidEnvError, TypeError, "env must be"),
    "a class": (lambda: ScriptedEnv, InvalidEnvError, TypeError, "make an instance"),
    "None": (lambda: None, InvalidEnvError, TypeError, "env must be"),
    "a graph": (
        lambda: Spaced(GRAPH, spaces.Discrete(2)),
        UnsupportedSpaceError,
        TypeError,
        r"\$.*Graph",
    ),
    "a sequence inside": (
        lambda: Spaced(spaces.Dict({"arm": spaces.Tuple([ONE_OF, SEQUENCE])}), ONE_OF),
        UnsupportedSpaceError,
        TypeError,
        r"\$\.arm\[0\].*OneOf",
    ),
    "one-of actions": (
        lambda: Spaced(spaces.Discrete(2), ONE_OF),
        UnsupportedSpaceError,
        TypeError,
        "OneOf",
    ),
    "no space": (
        lambda: Spaced(spaces.Discrete(2), [0, 1]),
        UnsupportedSpaceError,
        TypeError,
        "list",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_environment_is_refused_with_the_port_still_free(what: str) -> None:
    make, kind, builtin, message = WRONG[what]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(kind, match=message) as caught:
        rlmesh.EnvServer(make(), port=port)
    assert isinstance(caught.value, builtin)
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))
        again.listen()


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_environment_leaves_no_socket_file(what: str, tmp_path: Path) -> None:
    make, kind, _, message = WRONG[what]
    with pytest.raises(kind, match=message):
        rlmesh.EnvServer(make(), path=tmp_path / "e.sock")
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_in_use_leaves_the_environment_to_its_owner() -> None:
    env = ScriptedEnv()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(RlmeshError):
            rlmesh.EnvServer(env, port=other.getsockname()[1])
    assert env.calls == [], "the caller may still serve it elsewhere"


def test_an_unknown_validation_policy_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"warn.*strict.*off") as caught:
        rlmesh.EnvServer(ScriptedEnv(), validation=cast("Any", "loud"))
    assert isinstance(caught.value, ValueError)
    assert "'loud'" in str(caught.value)


def test_an_unknown_validation_policy_in_the_environment_variable_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RLMESH_VALIDATION_POLICY", "loud")
    with pytest.raises(InvalidArgumentError, match="RLMESH_VALIDATION_POLICY"):
        rlmesh.EnvServer(ScriptedEnv())


def test_options_of_another_type_are_refused() -> None:
    options: Any = {"idle_timeout_seconds": 3}
    with pytest.raises(ArgumentTypeError, match=r"options must be a rlmesh\.ServeOptions"):
        rlmesh.EnvServer(ScriptedEnv(), options=options)


@pytest.mark.parametrize(
    ("settings", "kind", "builtin"),
    [
        ({"idle_timeout_seconds": -1}, InvalidArgumentError, ValueError),
        ({"drain_timeout_seconds": float("inf")}, InvalidArgumentError, ValueError),
        ({"close_timeout_seconds": float("nan")}, InvalidArgumentError, ValueError),
        ({"idle_timeout_seconds": "5"}, ArgumentTypeError, TypeError),
        ({"drain_timeout_seconds": True}, ArgumentTypeError, TypeError),
        ({"allow_remote_shutdown": 1}, ArgumentTypeError, TypeError),
    ],
)
def test_serve_options_are_checked_where_they_are_made(
    settings: dict[str, Any], kind: type[RlmeshError], builtin: type[Exception]
) -> None:
    with pytest.raises(kind, match=next(iter(settings))) as caught:
        rlmesh.ServeOptions(**settings)
    assert isinstance(caught.value, builtin)


def test_serve_options_are_off_by_default() -> None:
    assert rlmesh.ServeOptions() == rlmesh.ServeOptions(
        allow_remote_shutdown=False,
        idle_timeout_seconds=None,
        drain_timeout_seconds=None,
        close_timeout_seconds=None,
    )


def test_the_contract_is_there_from_construction_on() -> None:
    server = rlmesh.EnvServer(EchoEnv("nested"))
    try:
        assert server.env_contract is server.spec
        assert server.env_contract.id == "UnknownEnv-v1"
    finally:
        server.shutdown()


class VecEnvOfStableBaselines3:
    """The form of a `VecEnv` of Stable-Baselines3."""

    num_envs = 2
    observation_space = action_space = gymnasium.spaces.Discrete(2)

    def reset(self) -> Any: ...
    def step_async(self, actions: Any) -> None: ...
    def step_wait(self) -> Any: ...
    def step(self, actions: Any) -> Any: ...
    def close(self) -> None: ...


@pytest.mark.parametrize("form", [lambda env: env, lambda env: lambda: env], ids=["env", "factory"])
def test_an_environment_of_another_library_is_named_with_what_to_do(
    form: Any,
) -> None:
    what = "VecEnv of Stable-Baselines3"
    with pytest.raises(rlmesh.errors.InvalidEnvError, match=what) as caught:
        rlmesh.EnvServer(form(VecEnvOfStableBaselines3()))
    assert "as a list" in str(caught.value)
