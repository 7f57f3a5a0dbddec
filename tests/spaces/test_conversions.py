"""Spaces of other packages, by a conversion that a user registers."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces as gymnasium_spaces

import rlmesh
from rlmesh import spaces
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, UnsupportedSpaceError
from rlmesh.spaces import conversions
from support.notes import notes_of
from support.serving import remote


class Percent(gymnasium.Space[Any]):
    """A space of its own."""


class Share(Percent):
    """One that derives from it."""


class Louder(gymnasium_spaces.Discrete):
    """One of Gymnasium's, of which one method is its own."""

    def contains(self, x: Any) -> bool:
        return True


class Measured(gymnasium.Env[Any, Any]):
    """Observes a percentage."""

    observation_space = gymnasium_spaces.Dict(share=Share((), np.int64))
    action_space = gymnasium_spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return {"share": 100}, {}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversions, "_registered", dict(conversions._registered))


def percent(_: Any) -> rlmesh.spaces.Space:
    return spaces.Discrete(101)


@pytest.mark.parametrize(
    "registered", [Percent, Share, conversions.full_name(Percent)], ids=["base", "own", "by name"]
)
def test_a_registered_conversion_serves_a_space_and_the_contract_names_it(registered: Any) -> None:
    spaces.register_conversion(registered, percent)
    with remote(Measured()) as client:
        assert client.observation_space == gymnasium_spaces.Dict(
            share=gymnasium_spaces.Discrete(101)
        )
        assert client.reset()[0] == {"share": 100}
        assert client.env_contract.metadata == {
            **Measured.metadata,
            "rlmesh.conversions": {"observation_space.share": conversions.full_name(Share)},
        }


def test_the_conversion_of_the_nearest_class_counts() -> None:
    spaces.register_conversion(Percent, percent)
    spaces.register_conversion(Share, lambda space: gymnasium_spaces.Discrete(2))
    assert spaces.from_gymnasium_space(Percent()) == spaces.Discrete(101)
    assert spaces.from_gymnasium_space(Share()) == spaces.Discrete(2)


def test_a_class_that_changes_one_of_gymnasiums_can_have_a_conversion() -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"its own contains.*register_conversion"):
        spaces.from_gymnasium_space(Louder(3))
    spaces.register_conversion(Louder, lambda space: gymnasium_spaces.Discrete(space.n + 1))
    assert spaces.from_gymnasium_space(Louder(3)) == spaces.Discrete(4)


def test_the_refusal_of_an_unknown_space_names_the_function() -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"^\$\.share: Share is not.*register_conv"):
        spaces.from_gymnasium_space(Measured.observation_space)
    with pytest.raises(UnsupportedSpaceError, match=r"builtins\.int.*register_conversion"):
        spaces.from_gymnasium_space(7)


def test_sequence_stays_refused_whatever_is_registered() -> None:
    sequence: Any = gymnasium_spaces.Sequence(gymnasium_spaces.Discrete(2))
    with pytest.raises(UnsupportedSpaceError, match=r"Sequence is not supported.*with a wrapper"):
        spaces.from_gymnasium_space(sequence)
    with pytest.raises(InvalidArgumentError, match="carried as they are, or refused"):
        spaces.register_conversion(gymnasium_spaces.Sequence, percent)
    with pytest.raises(InvalidArgumentError, match="carried as they are, or refused"):
        spaces.register_conversion(spaces.Box, percent)


def test_a_conversion_that_refuses_or_fails_is_an_error_with_the_place() -> None:
    def refusing(space: Any) -> Any:
        raise UnsupportedSpaceError("no longer than 7")

    def failing(space: Any) -> Any:
        raise KeyError("unit")

    spaces.register_conversion(Percent, refusing)
    with pytest.raises(UnsupportedSpaceError, match=r"^\$\.share: no longer than 7"):
        spaces.from_gymnasium_space(Measured.observation_space)
    spaces.register_conversion(Percent, failing)
    with pytest.raises(KeyError) as caught:
        spaces.from_gymnasium_space(Measured.observation_space)
    assert notes_of(caught.value) == ["in the conversion registered for $.share, Share"]
    spaces.register_conversion(Percent, lambda space: space)
    with pytest.raises(UnsupportedSpaceError, match=r"\$\.share: Share is not supported"):
        spaces.from_gymnasium_space(Measured.observation_space)


@pytest.mark.parametrize(
    ("space_type", "convert", "kind", "text"),
    [
        (Percent, 3, ArgumentTypeError, "convert must be a function that takes a space, got int"),
        (Percent(), percent, ArgumentTypeError, "a class or its full name, got an object of type"),
        ("Percent", percent, InvalidArgumentError, "'package.module.Class', got 'Percent'"),
        ("a..b", percent, InvalidArgumentError, "'package.module.Class', got 'a..b'"),
    ],
)
def test_what_cannot_be_registered_is_refused(
    space_type: Any, convert: Any, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        spaces.register_conversion(space_type, convert)
