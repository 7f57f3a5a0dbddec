"""What to do about values that their space does not hold, but that can travel, and about NaN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh_api._enums import StrEnum

__all__ = ["POLICY_VARIABLE", "Nan", "Policy", "policy_from"]

POLICY_VARIABLE = "RLMESH_VALIDATION_POLICY"


class Policy(StrEnum):
    """What to do about a value out of a box's bounds, a text's charset or length, or overflow."""

    WARN = "warn"
    """Deliver it and say so in the info."""
    STRICT = "strict"
    """Reject it."""
    OFF = "off"
    """Do not check."""

    @classmethod
    def parse(cls, word: object, source: str = "validation") -> Policy:
        """The policy that a word names.

        Args:
            word: `warn`, `strict` or `off`.
            source: Where the word stands, for the message.

        Raises:
            ArgumentTypeError: If it is no str.
            InvalidArgumentError: If it names none.
        """
        return _parse(cls, word, source)


class Nan(StrEnum):
    """What to do about NaN in a box of floats."""

    REJECT = "reject"
    """Reject it."""
    DELIVER = "deliver"
    """Deliver it, bit for bit."""

    @classmethod
    def parse(cls, word: object) -> Nan:
        """What a word says.

        Args:
            word: `reject` or `deliver`.

        Raises:
            ArgumentTypeError: If it is no str.
            InvalidArgumentError: If it is another word.
        """
        return _parse(cls, word, "nan")


def policy_from(argument: str | None, environ: Mapping[str, str]) -> Policy:
    """The policy of a server.

    Args:
        argument: What the constructor was given, None where it was given nothing.
        environ: The environment; read where there is no argument. Unset or empty means `warn`.

    Raises:
        ArgumentTypeError: If the argument is no str.
        InvalidArgumentError: If it or the variable names no policy.
    """
    if argument is not None:
        return Policy.parse(argument)
    word = environ.get(POLICY_VARIABLE)
    return Policy.parse(word, POLICY_VARIABLE) if word else Policy.WARN


_Word = TypeVar("_Word", bound=StrEnum)


def _parse(words: type[_Word], word: object, source: str) -> _Word:
    allowed = f"{source} must be one of {', '.join(map(repr, map(str, words)))}"
    if not isinstance(word, str):
        raise ArgumentTypeError(f"{allowed}, got {word!r:.80}")
    try:
        return words(word)
    except ValueError:
        raise InvalidArgumentError(f"{allowed}, got {word!r:.80}") from None
