"""What typegen writes: right for both type checkers and the formatter, whatever the space."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlmesh
from rlmesh.contract import EnvContract, compare_contracts, read_contract
from rlmesh.errors import ContractMismatchError, InvalidArgumentError
from rlmesh.spaces import (
    Box,
    Dict,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Space,
    Text,
    Tuple,
    from_gymnasium_space,
)
from rlmesh.typegen import render_module
from support.contracts import a_contract
from support.repository import ROOT
from support.sample_envs import EchoEnv, echo_vector
from support.sample_spaces import SAMPLE_SPACES
from support.serving import serving
from support.space_strategies import gymnasium_spaces

USE = Path(__file__).with_name("use.py.txt")
PACKAGE = "generated_types"

ODD_KEYS = (
    *("keys", "items", "class", "match", "np", "str", "two words", "__a", "_a", "Observation"),
    *("a" * 120, "ﬁ", "q\"'\\", "b'", "\n", "Ключ", "A"),
)
FURTHER_SPACES: dict[str, Space] = {
    "odd_keys": Dict({key: Discrete(3) for key in ODD_KEYS}),
    "keys_like_methods": Dict({key: Text(2) for key in ("keys", "items", "get", "copy", "_a")}),
    "long_keys": Dict({"a" * 120: Box(0, 1), "b" * 60: Dict({"c" * 50: Tuple([Box(0, 1)] * 6)})}),
    "long_literals": Tuple([Discrete(16, 2**63 - 20), Discrete(17)] * 4),
    "long_literal": Discrete(16, 2**62),
    "long_name": Tuple([Dict({"k" * 30: Tuple([Box(0, 1)])})]),
    "long_text": Text(9, charset="".join(map(chr, range(1, 400)))),
}
SPACES: dict[str, Space] = {
    **{name: from_gymnasium_space(space) for name, space in SAMPLE_SPACES.items()},
    **FURTHER_SPACES,
}

ARM = a_contract(
    id="Arm-v0",
    observation_space=Dict(
        {
            "camera": Box(0, 255, (4, 4, 3), "uint8"),
            "joints": Dict({"angles": Box(-3.0, 3.0, (2,), "float64")}),
            "pair": Tuple([Discrete(100, dtype="int32"), Text(5)]),
            "two words": Text(9),
        }
    ),
    action_space=Dict(
        {
            "force": Box(-1.0, 1.0, (2,)),
            "mode": Discrete(3),
            "say": Tuple([Text(9), Discrete(100)]),
        }
    ),
)
CARTPOLE = read_contract(gymnasium.make("CartPole-v1"))
SUB_ENVS = read_contract(gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync"))


def of(space: Space, *, vector: bool) -> EnvContract:
    num_envs = {"vector": True, "num_envs": 3} if vector else {}
    return a_contract(observation_space=space, action_space=space, **num_envs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package of modules for every space, single and vector, and their user."""
    made = tmp_path_factory.mktemp("typegen")
    package = made / PACKAGE
    package.mkdir()
    (package / "__init__.py").touch()
    named = {"cartpole": CARTPOLE, "arm": ARM, "vector": SUB_ENVS}
    named["long_id"] = a_contract(id="Long-" * 40)
    named |= {f"{name}_single": of(space, vector=False) for name, space in SPACES.items()}
    named |= {f"{name}_vector": of(space, vector=True) for name, space in SPACES.items()}
    for name, contract in named.items():
        (package / f"{name}.py").write_text(render_module(contract), encoding="utf-8")
    (made / "use.py").write_text(USE.read_text())
    return made


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, "MYPYPATH": f"{ROOT}:{ROOT / 'generated'}", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def misuse() -> set[int]:
    lines = enumerate(USE.read_text().splitlines(), 1)
    return {number for number, line in lines if line.endswith("# wrong")}


@pytest.mark.parametrize("width", [88, 100])
def test_it_is_formatted(folder: Path, width: int) -> None:
    options = ("--isolated", "--no-cache", "--check", f"--line-length={width}")
    told = run(sys.executable, "-m", "ruff", "format", *options, folder / PACKAGE, cwd=folder)
    assert told.returncode == 0, told.stdout


@pytest.mark.timeout(400)
def test_mypy_accepts_every_module_and_refuses_all_misuse(folder: Path) -> None:
    pytest.importorskip("mypy")
    options = ("--strict", "--config-file=", "--no-error-summary", "--show-absolute-path")
    command = (sys.executable, "-m", "mypy", *options, "--output=json", "--cache-dir=.mypy")
    told = run(*command, PACKAGE, "use.py", cwd=folder)
    problems = [json.loads(line) for line in told.stdout.splitlines()]
    assert not told.stderr
    elsewhere = [it for it in problems if Path(it["file"]).name != "use.py"]
    assert not elsewhere
    assert {it["line"] for it in problems if it["severity"] == "error"} == misuse()


@pytest.mark.timeout(400)
def test_pyright_accepts_every_module_and_refuses_all_misuse(folder: Path) -> None:
    pytest.importorskip("pyright")
    config = {
        "include": [PACKAGE, "use.py"],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(ROOT), str(ROOT / "generated")],
        # Misuse is written down for its own sake.
        "reportUnusedExpression": False,
        "reportUnusedVariable": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    options = ("--project", folder, "--pythonpath", sys.executable, "--outputjson")
    told = json.loads(run(sys.executable, "-m", "pyright", *options, cwd=folder).stdout)
    problems = [
        (Path(it["file"]).name, it["range"]["start"]["line"] + 1, it["message"])
        for it in told["generalDiagnostics"]
        if it["severity"] == "error"
    ]
    assert told["summary"]["filesAnalyzed"] >= 2 * len(SPACES)
    assert not [it for it in problems if it[0] != "use.py"]
    assert {line for _, line, _ in problems} == misuse()


def module(contract: EnvContract, class_name: str | None = None) -> dict[str, Any]:
    """The names of a module for a contract."""
    names: dict[str, Any] = {"__name__": "generated"}
    exec(compile(render_module(contract, class_name), "generated.py", "exec"), names)  # noqa: S102
    return names


def client_of(names: Mapping[str, Any]) -> Any:
    [client] = [
        value
        for value in names.values()
        if isinstance(value, type) and issubclass(value, rlmesh.RemoteEnv | rlmesh.RemoteVectorEnv)
    ]
    return client


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("vector", [False, True], ids=["single", "vector"])
def test_it_is_imported_and_holds_the_contract(name: str, vector: bool) -> None:
    contract = of(SPACES[name], vector=vector)
    names = module(contract)
    assert names["CONTRACT"] == contract
    assert names["CONTRACT"].fingerprint == names["FINGERPRINT"] == contract.fingerprint
    assert client_of(names).expected_contract is names["CONTRACT"]


spaces: st.SearchStrategy[Space] = gymnasium_spaces().map(from_gymnasium_space)


@settings(max_examples=50)
@given(spaces, spaces, st.booleans(), st.text())
def test_it_is_python_whatever_the_contract(
    observation: Space, action: Space, vector: bool, name: str
) -> None:
    contract = a_contract(
        id=name, observation_space=observation, action_space=action, vector=vector
    )
    text = render_module(contract)
    assert text == render_module(EnvContract.from_json(contract.to_json()))
    tree = ast.parse(text)
    assert isinstance(tree.body[-1], ast.ClassDef)
    assert module(contract)["CONTRACT"] == contract


def test_the_keys_of_a_dict_are_those_of_its_type() -> None:
    names = module(of(FURTHER_SPACES["odd_keys"], vector=False))
    assert tuple(get_type_hints(names["Observation"], names)) == ODD_KEYS


def test_small_discretes_are_listed_in_actions_only() -> None:
    names = module(of(Discrete(3, -1), vector=False))
    assert names["Observation"] is np.int64
    literal, wide = get_args(names["Action"])
    assert get_args(literal) == (-1, 0, 1)
    assert wide == np.integer[Any]
    assert get_args(module(of(Discrete(17), vector=False))["Action"])[0] is int


@pytest.mark.parametrize(
    ("space", "observation", "action", "observations", "actions"),
    [
        (Box(0, 1), *["npt.NDArray[np.float32]"] * 4),
        (Box(0, 1, dtype="bool"), *["npt.NDArray[np.bool_]"] * 4),
        (
            Discrete(2),
            "np.int64",
            "Literal[0, 1] | np.integer[Any]",
            "npt.NDArray[np.int64]",
            "npt.NDArray[np.integer[Any]]",
        ),
        (
            Discrete(17, dtype="int8"),
            "np.int8",
            "int | np.integer[Any]",
            "npt.NDArray[np.int8]",
            "npt.NDArray[np.integer[Any]]",
        ),
        (MultiBinary(3), *["npt.NDArray[np.int8]"] * 4),
        (MultiDiscrete([2, 3]), *["npt.NDArray[np.int64]"] * 4),
        (Text(5), "str", "str", *["tuple[str, ...]"] * 2),
        (Tuple([Text(5), Box(0, 1)]), *["tuple[str, npt.NDArray[np.float32]]"] * 2, "", ""),
        (Tuple([]), *["tuple[()]"] * 4),
        (Dict({"": Text(5)}), *["dict[str, Any]"] * 4),
    ],
    ids=str,
)
def test_the_types_are_those_of_the_page(
    space: Space, observation: str, action: str, observations: str, actions: str
) -> None:
    single, num_envs = (render_module(of(space, vector=vector)) for vector in (False, True))
    assert f"Observation: TypeAlias = {observation}\n" in single
    assert f"Action: TypeAlias = {action}\n" in single
    assert f"Observation: TypeAlias = {observations}" in num_envs
    assert f"Action: TypeAlias = {actions}" in num_envs


def test_docstrings_tell_shape_dtype_bounds_and_stability() -> None:
    text = render_module(ARM)
    for told in (
        "Box, shape (4, 4, 3), uint8, 0 to 255 (Stable).",
        "Box, shape (2,), float64, -3 to 3 (Stable).",
        "Text, 1 to 5 characters (Experimental).",
    ):
        assert told in text


@pytest.mark.parametrize(
    ("name", "single", "vector"),
    [
        ("CartPole-v1", "CartPoleV1Env", "CartPoleV1VectorEnv"),
        ("ALE/Pong-v5", "ALEPongV5Env", "ALEPongV5VectorEnv"),
        ("2048-v0", "The2048V0Env", "The2048V0VectorEnv"),
        ("游戏", "Env", "VectorEnv"),
    ],
)
def test_the_class_is_called_after_the_environment(name: str, single: str, vector: str) -> None:
    space = Discrete(2)
    fields: dict[str, Any] = {"id": name, "observation_space": space, "action_space": space}
    assert client_of(module(a_contract(**fields))).__name__ == single
    assert client_of(module(a_contract(**fields, vector=True))).__name__ == vector


def test_the_class_may_be_called_otherwise() -> None:
    assert client_of(module(CARTPOLE, "Pole")).__name__ == "Pole"


@pytest.mark.parametrize("name", ["class", "two words", "", "Observation", "Literal", "CONTRACT"])
def test_a_class_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="a class cannot be named"):
        render_module(CARTPOLE, name)


def test_the_client_drives_what_it_was_written_for() -> None:
    with serving(EchoEnv("dict")) as server:
        names = module(server.env_contract)
        with client_of(names)(server.address) as env:
            observation, _ = env.reset(seed=0)
            assert tuple(observation) == tuple(get_type_hints(names["Observation"], names))
            env.step(env.action_space.sample())


def test_the_client_of_sub_envs_drives_what_it_was_written_for() -> None:
    with serving(echo_vector("dict", 2)) as server:
        env = client_of(module(server.env_contract))(server.address)
        observations, _ = env.reset(seed=0)
        assert observations["a"].dtype == np.int64
        env.close()


def test_the_client_refuses_another_environment() -> None:
    client = client_of(module(read_contract(EchoEnv("dict"))))
    with serving(EchoEnv("box")) as server:
        with pytest.raises(ContractMismatchError) as caught:
            client(server.address)
        told = compare_contracts(client.expected_contract, server.env_contract)
        assert caught.value.differences == told
