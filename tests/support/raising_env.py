"""An environment that raises errors of many types; a module, for workers import it by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from support.sample_envs import ScriptedEnv


class StuckError(KeyError, ValueError):
    """An error of a library, of two built-in types."""


# Errors, each with the built-in types by which a caller may catch it.
CAUGHT: list[tuple[Exception, list[type[Exception]]]] = [
    (ValueError("no"), [ValueError]),
    (KeyError("level"), [KeyError]),
    (FileNotFoundError(2, "No such file"), [FileNotFoundError]),
    (UnicodeDecodeError("utf-8", b"x", 0, 1, "why"), [UnicodeDecodeError]),
    (StopIteration(1), [StopIteration]),
    (NotImplementedError(), [NotImplementedError]),
    (StuckError("x"), [KeyError, ValueError]),
    (json.JSONDecodeError("no", "", 0), [ValueError]),
]


def raiser(error: BaseException) -> Callable[[], Any]:
    """What a `ScriptedEnv` does to raise an error."""

    def act() -> Any:
        raise error

    return act


class RaisingEnv(ScriptedEnv):
    """Its reset raises the error of `CAUGHT` whose place is the seed."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Raises."""
        assert seed is not None
        self.script["reset"] = raiser(CAUGHT[seed][0])
        return super().reset(seed=seed, options=options)
