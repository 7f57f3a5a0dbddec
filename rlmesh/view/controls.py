"""How a person gives actions: by keys and buttons, or by sliders."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from rlmesh.codec.infos.type_guards import is_mapping, is_number, is_row
from rlmesh.errors import InvalidActionError

__all__ = ["Controls", "UnplayableError"]

# What pygame calls the arrow keys, and what a browser does.
_ARROWS = {
    1073741903: "ArrowRight",
    1073741904: "ArrowLeft",
    1073741905: "ArrowDown",
    1073741906: "ArrowUp",
}
_MOST_BUTTONS = 64
_MOST_SLIDERS = 16
_TWO = (("ArrowLeft",), ("ArrowRight",))


class UnplayableError(Exception):
    """No person can give such actions on the page."""


class Controls:
    """Makes actions of what a person presses or moves.

    Args:
        space: The action space.
        keys: The keys that the environment has for `gymnasium.utils.play`, or what it returned in
            their place; None: it has none.

    Raises:
        UnplayableError: If the space is neither discrete nor of a few numbers.
    """

    def __init__(self, space: Any, keys: object = None) -> None:
        self._space: Any = space
        self._buttons: list[tuple[int, tuple[str, ...]]] = []
        self._sliders: list[dict[str, Any]] = []
        self.has_own_keys: bool = False
        if _is(space, spaces.Discrete):
            if space.n > _MOST_BUTTONS:
                raise UnplayableError(f"{space} has more than {_MOST_BUTTONS} actions")
            found = _keys_of(keys, space)
            self.has_own_keys = bool(found)
            self._buttons = found or _default_keys(space)
        else:
            self._sliders = _sliders_of(space)

    def describe(self) -> dict[str, Any]:
        """What the page draws."""
        if self._sliders:
            return {"kind": "sliders", "sliders": self._sliders}
        buttons = [{"action": action, "keys": list(keys)} for action, keys in self._buttons]
        return {"kind": "buttons", "buttons": buttons, "ownKeys": self.has_own_keys}

    @property
    def idle(self) -> Any:
        """The action while nothing is pressed: that of no key, or the first one; or the middle."""
        if self._sliders:
            return self.action_of([slider["value"] for slider in self._sliders])
        for action, keys in self._buttons:
            if not keys:
                return self.action_of(action)
        return self.action_of(int(self._space.start))

    def action_of(self, given: object) -> Any:
        """The action that a page gives.

        Raises:
            InvalidActionError: If it is none.
        """
        if isinstance(given, int) and not self._sliders:
            action = self._space.dtype.type(given)
        elif is_row(given) and len(given) == len(self._sliders):
            numbers = [
                float(number) if isinstance(number, int | float) else math.nan for number in given
            ]
            array = np.array(numbers).reshape(self._space.shape)
            if not _is(self._space, spaces.Box):
                array = np.rint(array)
            elif self._space.is_bounded():
                array = np.clip(array, self._space.low, self._space.high)
            action = np.nan_to_num(array).astype(self._space.dtype)
        else:
            raise InvalidActionError(f"this is no action: {given!r:.80}")
        if not self._space.contains(action):
            raise InvalidActionError(f"{self._space} does not hold the action {given!r:.80}")
        return action


def _is(space: Any, kind: type[Any]) -> bool:
    """As `isinstance`; a type checker would conclude type arguments that nobody knows."""
    return isinstance(space, kind)


def _keys_of(keys: object, space: Any) -> list[tuple[int, tuple[str, ...]]]:
    """The keys of an environment as a browser names them; empty where it has none that fit."""
    if not is_mapping(keys):
        return []
    found: list[tuple[int, tuple[str, ...]]] = []
    for pressed, action in keys.items():
        names: tuple[object, ...] = (pressed,)
        if isinstance(pressed, str) or is_row(pressed):
            names = tuple(pressed)
        number = action if isinstance(action, int) else int(action) if is_number(action) else None
        if number is None or not space.contains(space.dtype.type(number)):
            return []
        found.append((number, tuple(map(_key_name, names))))
    return sorted(found)


def _key_name(key: object) -> str:
    if isinstance(key, int):
        return _ARROWS.get(key) or (chr(key) if 0 < key < 0x10FFFF else "")
    return str(key)


def _default_keys(space: Any) -> list[tuple[int, tuple[str, ...]]]:
    first, count = int(space.start), int(space.n)
    if count == 2:
        return [(first + at, _TWO[at]) for at in range(2)]
    return [(first + at, (str(at),) if at < 10 else ("",)) for at in range(count)]


def _sliders_of(space: Any) -> list[dict[str, Any]]:
    sliders: list[dict[str, Any]] = []
    if _is(space, spaces.Box) and space.dtype.kind in "fiu":
        whole = space.dtype.kind != "f"
        for low, high in zip(space.low.ravel(), space.high.ravel(), strict=True):
            least = float(low) if np.isfinite(low) else -1.0
            most = float(high) if np.isfinite(high) else max(1.0, least + 1.0)
            value = min(max(0.0, least), most)
            sliders.append(
                {"low": least, "high": most, "step": 1 if whole else (most - least) / 200}
                | {"value": round(value) if whole else value}
            )
    elif _is(space, spaces.MultiBinary):
        sliders = [
            {"low": 0, "high": 1, "step": 1, "value": 0} for _ in range(math.prod(space.shape))
        ]
    elif _is(space, spaces.MultiDiscrete):
        sliders = [
            {"low": int(start), "high": int(start + n - 1), "step": 1, "value": int(start)}
            for start, n in zip(space.start.ravel(), space.nvec.ravel(), strict=True)
        ]
    if not 0 < len(sliders) <= _MOST_SLIDERS:
        raise UnplayableError(
            f"{space} is neither Discrete nor made of at most {_MOST_SLIDERS} numbers; drive it by "
            f"a program"
        )
    return sliders
