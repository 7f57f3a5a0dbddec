"""A contract as a person reads it."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from rlmesh import spaces
from rlmesh._cli.contract_table import contract_view
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.foreign_text import paragraphs
from rlmesh_api.contract import EnvSpec


def shown(observation: spaces.Space, **facts: Any) -> str:
    """The table of a contract with an observation space, spaces squeezed."""
    all_facts: dict[str, Any] = {"id": "Test-v0", "num_envs": 1, **facts}
    contract = EnvContract(
        observation_space=observation, action_space=spaces.Discrete(2), **all_facts
    )
    console = Console(file=StringIO(), width=200, markup=False)
    console.print(contract_view(contract, {"address": "tcp://127.0.0.1:1"}))
    assert isinstance(console.file, StringIO)
    return "\n".join(" ".join(line.split()) for line in console.file.getvalue().splitlines())


@pytest.mark.parametrize(
    ("space", "row"),
    [
        (spaces.Box(0, 255, (84, 84, 3), "uint8"), "Box (84, 84, 3) uint8 0 to 255"),
        (spaces.Box([-1.5, -np.inf], [1, np.inf]), "Box (2,) float32 [-1.5, -inf] to [1, inf]"),
        (spaces.Box(0, 1, (0,)), "Box (0,) float32 no elements"),
        (
            spaces.Box(np.arange(10), 99, dtype="int64"),
            "Box (10,) int64 [0, 1, 2, 3, 4, 5, 6, 7, ... 2 more] to 99",
        ),
        (spaces.Discrete(3, start=-1), "Discrete () int64 -1 to 1"),
        (spaces.MultiBinary((2, 3)), "MultiBinary (2, 3) int8 0 or 1"),
        (spaces.MultiDiscrete([5, 2]), "MultiDiscrete (2,) int64 0 to [4, 1]"),
        (spaces.Text(8), "Text 1 to 8 characters"),
        (spaces.Text(8, min_length=0, charset="ab"), "Text 0 to 8 characters of 'ab'"),
    ],
)
def test_a_space_is_one_row(space: spaces.Space, row: str) -> None:
    assert f"observation $ {row}" in shown(space)


def test_that_nan_is_delivered_is_a_row() -> None:
    assert "NaN" not in shown(spaces.Box(0, 1, (1,)))
    assert "NaN delivered" in shown(spaces.Box(0, 1, (1,)), delivers_nan=True)


def test_a_long_charset_is_cut() -> None:
    charset = "".join(map(chr, range(0x4E00, 0x4E00 + 100)))
    assert " and 60 more" in shown(spaces.Text(8, charset=charset))


def test_the_spaces_inside_of_a_space_are_named_by_their_place() -> None:
    table = shown(
        spaces.Dict(
            {
                "arm": spaces.Tuple([spaces.Discrete(2), spaces.Text(3)]),
                "two words": spaces.Discrete(9),
            }
        )
    )
    for row in (
        "observation $ Dict 2 spaces",
        "$.arm Tuple 2 spaces",
        "$.arm[0] Discrete () int64 0 to 1",
        "$.arm[1] Text 1 to 3 characters",
        '$["two words"] Discrete () int64 0 to 8',
    ):
        assert row in table


def test_sub_envs_and_their_autoreset_are_told() -> None:
    table = shown(
        spaces.Discrete(2), vector=True, num_envs=4, autoreset_mode=AutoresetMode.SAME_STEP
    )
    for row in (
        "sub-environments 4",
        "autoreset same step",
        "observation of a sub-environment $ Discrete",
    ):
        assert row in table


def test_the_registration_is_told() -> None:
    spec = EnvSpec(
        id="Test-v0", max_episode_steps=200, reward_threshold=475.0, kwargs={"map_name": "8x8"}
    )
    table = shown(spaces.Discrete(2), spec=spec, render_mode="ansi", metadata={"render_fps": 4})
    for row in (
        "environment Test-v0",
        "render mode ansi",
        "episode at most 200 steps",
        "solved at a return of 475",
        'made with {"map_name": "8x8"}',
        'metadata {"render_fps": 4}',
        "address tcp://127.0.0.1:1",
    ):
        assert row in table


def test_a_contract_cannot_steer_the_terminal() -> None:
    table = shown(
        spaces.Dict({"\x1b[31mkey": spaces.Text(2, charset="\x1b]")}), id="\x1b]0;gone\x07"
    )
    assert "\x1b" not in table
    assert "\x07" not in table
    assert r"\x1b]0;gone\x07" in table


def test_markup_in_a_name_stays_text() -> None:
    assert "environment [red]Test[/red]" in shown(spaces.Discrete(2), id="[red]Test[/red]")


def test_plain_keeps_lines_and_letters() -> None:
    assert paragraphs("zwölf\n零\t\x00") == "zwölf\n零\\t\\x00"
