"""Clients that are written from the protocol's page alone drive environments.

They share no code with RLMesh. `client.py` beside this compiles the protos itself, and reads and
writes values with `struct`; `node/client.cjs` is for Node. `make check` installs what the latter
needs.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from codegen.protoc import SAFE_PATH
from support.node_packages import MISSING, node, node_environment
from support.repository import ROOT
from support.serving import serving

CLIENT = Path(__file__).with_name("client.py")
NODE_CLIENT = Path(__file__).with_name("node") / "client.cjs"
needs_node = pytest.mark.skipif(bool(MISSING), reason=MISSING)


class Walker(gymnasium.Env[Any, Any]):
    """A Dict in, a Dict out, with every kind of leaf."""

    def __init__(self) -> None:
        self.observation_space = spaces.Dict(
            {
                "flags": spaces.MultiBinary(3),
                "mode": spaces.Discrete(5, start=-2, dtype=np.int16),
                "note": spaces.Text(20, min_length=0),
                "position": spaces.Box(-np.inf, np.inf, (2,), np.float32),
                "rest": spaces.Tuple(
                    [spaces.MultiDiscrete([3, 4]), spaces.Text(9), spaces.Box(0, 255, (), np.uint8)]
                ),
            }
        )
        self.action_space = spaces.Dict(
            {
                "gear": spaces.Discrete(3, dtype=np.uint8),
                "push": spaces.Box(-1.0, 1.0, (2,), np.float64),
                "say": spaces.Text(9, min_length=0),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._position = self.np_random.normal(size=2).astype(np.float32)
        return self._seen(0, "start 🦊"), {"seed": seed, "deep": {"list": [1, -2, 3.5, None, True]}}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._position = self._position + action["push"].astype(np.float32)
        gear, says = int(action["gear"]), str(action["say"])
        info = {"said": says, "big": 2**40, "x" * 40: -(2**40), "raw": b"\x00\x01"}
        return self._seen(gear, says), gear / 4, gear == 2, says == "cut", info

    def _seen(self, gear: int, note: str) -> dict[str, Any]:
        return {
            "flags": np.array([gear > 0, 1, 0], np.int8),
            "mode": np.int16(gear - 2),
            "note": note,
            "position": self._position,
            "rest": (np.array([gear, 3]), "rest", np.array(gear, np.uint8)),
        }


def plain(value: Any) -> Any:
    """A value as the client prints it: arrays as lists in C order."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return value.reshape(-1).tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value.hex() if isinstance(value, bytes) else value


def locally(env: Any, actions: list[Any]) -> dict[str, Any]:
    """What the client should have seen."""
    observation, info = env.reset(seed=7)
    seen: dict[str, Any] = {"observation": plain(observation), "info": plain(info), "steps": []}
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        seen["steps"].append(
            {
                "observation": plain(observation),
                "reward": np.ravel(reward).tolist(),
                "terminated": np.ravel(terminated).tolist(),
                "truncated": np.ravel(truncated).tolist(),
                "info": plain(info),
            }
        )
    return seen


def told(command: list[str], variables: dict[str, str] | None = None) -> dict[str, Any]:
    """What a client prints."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=variables
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def remotely(env: Any, actions: list[Any], transport: str = "grpc") -> dict[str, Any]:
    with serving(env, direct="tcp://127.0.0.1:0") as server:
        address = server.address.removeprefix("tcp://")
        command = [sys.executable, SAFE_PATH, CLIENT, ROOT / "schema", address, transport]
        return told([*map(str, command), json.dumps(actions)])


def from_node(env: Any, actions: list[Any], **settings: Any) -> dict[str, Any]:
    variables = node_environment()
    if "token" in settings:
        variables["RLMESH_TOKEN"] = settings["token"]
    with serving(env, **settings) as server:
        address = server.address.removeprefix("tcp://")
        command = [node(), NODE_CLIENT, ROOT / "schema", address, json.dumps(actions)]
        return told([*map(str, command)], variables)


@pytest.mark.parametrize("transport", ["grpc", "direct", "shm"])
def test_it_drives_cartpole(transport: str) -> None:
    actions = [1, 0, 0, 1, 1, 0] * 4
    seen = remotely(gymnasium.make("CartPole-v1"), actions, transport)
    assert seen.pop("id") == "CartPole-v1"
    assert seen == locally(gymnasium.make("CartPole-v1"), actions)


ACTIONS: list[Any] = [
    {"gear": 1, "push": [0.5, -0.25], "say": ""},
    {"gear": 0, "push": [-1.0, 1.0], "say": "äß漢"},
    {"gear": 2, "push": [0.0, 0.1], "say": "cut"},
]


@pytest.mark.parametrize("drive", [remotely, pytest.param(from_node, marks=needs_node)])
def test_it_drives_an_environment_of_dicts(drive: Callable[..., dict[str, Any]]) -> None:
    arrays = [{**action, "push": np.array(action["push"])} for action in ACTIONS]
    seen = drive(Walker(), ACTIONS)
    assert seen.pop("id") == "UnknownEnv-v1"
    assert seen == locally(Walker(), arrays)


@needs_node
def test_node_drives_cartpole_with_a_token() -> None:
    actions = [1, 0, 0, 1, 1, 0] * 4
    seen = from_node(gymnasium.make("CartPole-v1"), actions, token="s3cret")
    assert seen.pop("id") == "CartPole-v1"
    assert seen == locally(gymnasium.make("CartPole-v1"), actions)


@needs_node
def test_node_drives_a_vector_environment_of_dicts() -> None:
    actions = [
        {
            "gear": [action["gear"], 1],
            "push": [action["push"], [0.25, 0.5]],
            "say": [action["say"], "second"],
        }
        for action in ACTIONS
    ]
    arrays = [
        {
            "gear": np.array(action["gear"], np.uint8),
            "push": np.array(action["push"]),
            "say": tuple(action["say"]),
        }
        for action in actions
    ]
    seen = from_node(SyncVectorEnv([Walker, Walker]), actions)
    expected = locally(SyncVectorEnv([Walker, Walker]), arrays)
    # A vector environment's infos are arrays, which are an extension to this client.
    for each in (seen, *seen["steps"], expected, *expected["steps"]):
        each.pop("info")
    seen.pop("id")
    assert seen == expected


def test_it_imports_nothing_of_rlmesh() -> None:
    """Of `rlmesh_api` it imports what it has compiled itself, and checks that."""
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(CLIENT.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"grpc"}


def test_the_node_client_requires_nothing_of_rlmesh() -> None:
    required = set(re.findall(r'require\("(.*?)"\)', NODE_CLIENT.read_text()))
    assert required == {
        "node:path",
        "@grpc/grpc-js",
        "@grpc/proto-loader",
        "@msgpack/msgpack",
    }
