"""A contract, and a client, in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import gymnasium
import numpy as np

import rlmesh
from rlmesh.contract import read_contract
from support.models import OfMany, working
from support.serving import serving

EVIL = '<script>alert("x")</script>&amp;'


class _Cells(HTMLParser):
    """Checks that every tag is closed, and keeps the text of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.cells: list[str] = []
        self.feed(text)
        self.close()
        assert not self.tags

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.names.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.tags[-1] in ("td", "th"):
            self.cells[-1] += data


def _cells(shown: Any) -> list[str]:
    text = shown._repr_html_()
    assert isinstance(text, str)
    return _Cells(text).cells


class _Odd(gymnasium.Env[Any, Any]):
    metadata = {"render_modes": [], "note": EVIL}  # noqa: RUF012 - as Gymnasium has it
    observation_space = gymnasium.spaces.Dict(
        {EVIL: gymnasium.spaces.Box(-1, 1, (2,), np.float32), "b": gymnasium.spaces.Discrete(3)}
    )
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


def test_a_contract_shows_its_facts_and_the_tree_of_its_spaces() -> None:
    contract = read_contract(gymnasium.make("CartPole-v1"))
    cells = _cells(contract)
    assert cells[cells.index("environment") + 1] == "CartPole-v1"
    assert cells[cells.index("episode") + 1] == "at most 500 steps"
    row = cells.index("observation")
    assert cells[row + 1 : row + 5] == ["$", "Box", "(4,)", "float32"]
    row = cells.index("action")
    assert cells[row + 1 : row + 6] == ["$", "Discrete", "()", "int64", "0 to 1"]


def test_what_an_environment_says_is_text_and_never_markup() -> None:
    parsed = _Cells(str(read_contract(_Odd())._repr_html_()))
    assert parsed.names == {"div", "table", "thead", "tbody", "tr", "th", "td"}
    [fact] = [cell for cell in parsed.cells if "note" in cell]
    assert "<script>" in fact
    assert any("<script>" in cell for cell in parsed.cells if cell.startswith("$"))


def test_many_spaces_are_cut_and_counted() -> None:
    spaces = gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)] * 300)
    env = _Odd()
    env.observation_space = spaces  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue] # another one
    text = str(read_contract(env)._repr_html_())
    _Cells(text)
    assert text.count("<tr>") < 250
    assert "and 102 more spaces" in text


def test_clients_show_what_they_drive_and_how() -> None:
    with serving(gymnasium.make("CartPole-v1")) as server:
        with rlmesh.RemoteEnv[Any, Any](server.address) as env:
            cells = _cells(env)
            assert cells[:2] == ["client", repr(env)]
            assert "CartPole-v1" in cells
        # Also after its end.
        assert "CartPole-v1" in _cells(env)
    with serving([gymnasium.make("CartPole-v1")]) as server:
        with rlmesh.RemoteVectorEnv[Any, Any](server.address) as envs:
            assert "observation of a sub-environment" in _cells(envs)
    with working(OfMany()) as worker, rlmesh.RemoteModel(worker.address) as model:
        cells = _cells(model)
        assert cells[cells.index("horizon") + 1] == "one action"
        assert _cells(worker.model_contract) == cells[2:]


def test_what_has_no_other_form_shows_its_repr() -> None:
    contract = read_contract(gymnasium.make("CartPole-v1"))
    assert contract.spec is not None
    assert contract.spec._repr_html_() is None
