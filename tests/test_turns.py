"""The cells of a matrix take turns over the transports, see `transports_in_turn`."""

from __future__ import annotations

import os

import pytest

TURNS = ("shm", "direct", "grpc")


@pytest.mark.parametrize(("column", "name"), [(0, "a"), (1, "b"), (2, "c"), (3, "d")])
@pytest.mark.parametrize("row", range(5))
def test_cells_that_follow_each_other_run_over_other_transports(
    row: int, column: int, name: str, transports_in_turn: str
) -> None:
    assert transports_in_turn == TURNS[(row + column) % 3] == os.environ["RLMESH_TRANSPORT"]
    assert name == "abcd"[column]


@pytest.mark.parametrize("transports_in_turn", ["grpc"], indirect=True)
@pytest.mark.parametrize("place", range(3))
def test_a_test_may_name_its_transport(place: int, transports_in_turn: str) -> None:
    assert (transports_in_turn, place) == ("grpc", place)
