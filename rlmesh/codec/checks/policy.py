"""What to do about a value that can travel although its space does not hold it."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError

__all__ = ["POLICY_VARIABLE", "Policy", "policy_from"]

POLICY_VARIABLE = "RLMESH_VALIDATION_POLICY"


class Policy(enum.StrEnum):
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
        allowed = f"{source} must be one of {', '.join(map(repr, map(str, cls)))}"
        if not isinstance(word, str):
            raise ArgumentTypeError(f"{allowed}, got {word!r}")
        try:
            return cls(word)
        except ValueError:
            raise InvalidArgumentError(f"{allowed}, got {word!r}") from None


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
