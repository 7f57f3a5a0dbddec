"""Drives an environment for a person who looks at the page."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from rlmesh.client.env import RemoteEnv
from rlmesh.errors import InvalidActionError, RlmeshError
from rlmesh.foreign_text import one_line
from rlmesh.view.controls import Controls, UnplayableError

__all__ = ["Player"]

_RETRY_SECONDS = 2.0


class Player:
    """Drives one environment, on the thread `rlmesh-play`.

    `_news` is a condition; its lock guards what the page gives: `_held`, `_always`,
    `_restart` and `_seen`.

    Args:
        connect: Connects to the environment.
        rate: Steps a second; None: what the environment's metadata say, or 30.
        seed: The seed of the first reset; None: none.
        changed: Called on the thread when there is something new.
    """

    def __init__(
        self,
        connect: Callable[[], RemoteEnv[Any, Any]],
        changed: Callable[[], None],
        *,
        rate: float | None = None,
        seed: int | None = None,
    ) -> None:
        self._connect = connect
        self._changed = changed
        self._rate = rate
        self._seed = seed
        self._news = threading.Condition()
        self._over = False
        self._held: Any = None
        # None: nobody has said so, nor the environment.
        self._always: bool | None = None
        self._restart = False
        self._seen = False
        self._controls: Controls | None = None
        self._error = "connecting"
        self._ended = ""
        self._thread = threading.Thread(target=self._run, name="rlmesh-play", daemon=True)

    def start(self) -> None:
        """Connects, and drives from then on."""
        self._thread.start()

    def close(self) -> None:
        """Ends it, once the step in progress has returned."""
        with self._news:
            self._over = True
            self._news.notify()
        self._thread.join(_RETRY_SECONDS)

    def describe(self) -> dict[str, Any]:
        """What the page shows of it. Any thread may ask."""
        controls = self._controls
        return {
            "controls": None if controls is None else controls.describe(),
            "always": bool(self._always),
            "error": self._error,
            "ended": self._ended,
        }

    def command(self, given: Mapping[Any, Any]) -> None:
        """What a page asks for: an action that is held, steps without one, or a reset. Any thread.

        Args:
            given: `hold` with an action, or None for none; `always`; `restart`.
        """
        with self._news:
            if "hold" in given:
                self._held = given["hold"]
            if isinstance(given.get("always"), bool):
                self._always = given["always"]
            if given.get("restart") is True:
                self._restart = True
            self._news.notify()

    def look(self, *, seen: bool) -> None:
        """Whether any browser looks: nothing is stepped while none does. Any thread may call it."""
        with self._news:
            self._seen = seen
            self._held = None
            self._news.notify()

    def _run(self) -> None:
        while not self._over:
            try:
                with contextlib.closing(self._connect()) as env:
                    self._drive(env)
            except (RlmeshError, UnplayableError) as error:
                self._say(one_line(str(error), 500))
            with self._news:
                if not self._over:
                    self._news.wait(_RETRY_SECONDS)

    def _drive(self, env: RemoteEnv[Any, Any]) -> None:
        controls = self._controls = Controls(env.action_space, _keys_of(env))
        with self._news:
            if self._always is None:
                self._always = controls.has_own_keys
        fps: Any = self._rate or env.metadata.get("render_fps") or 30.0
        period = 1.0 / min(max(float(fps), 0.1), 120.0)
        env.reset(seed=self._seed)
        self._say("")
        over = False
        due = time.monotonic()
        while (wanted := self._next(due)) is not None:
            restart, held = wanted
            due = max(due + period, time.monotonic())
            if restart or over:
                env.reset()
                over = False
                self._ended = ""
                continue
            try:
                action = controls.idle if held is None else controls.action_of(held)
            except InvalidActionError as error:
                self._say(str(error))
                continue
            _, _, terminated, truncated, _ = env.step(action)
            over = bool(terminated or truncated)
            self._ended = "terminated" if terminated else "truncated" if truncated else ""
            if self._error or over:
                self._say("")

    def _next(self, due: float) -> tuple[bool, Any] | None:
        """Waits until a step or a reset is wanted and due; None: the end."""
        with self._news:
            while not self._over:
                if self._restart:
                    self._restart = False
                    return True, None
                left = due - time.monotonic()
                wanted = self._seen and (self._held is not None or self._always)
                if wanted and left <= 0:
                    return False, self._held
                self._news.wait(left if wanted else None)
        return None

    def _say(self, error: str) -> None:
        self._error = error
        self._changed()


def _keys_of(env: RemoteEnv[Any, Any]) -> object:
    """The keys of `gymnasium.utils.play`; None where the environment has none, or hides them."""
    asked: Any = env
    try:
        return asked.get_keys_to_action()
    except (AttributeError, RlmeshError):
        return None
