"""Whether an episode solved its task, as the environment says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rlmesh.errors import InvalidArgumentError
from rlmesh.evaluation.lane import Judge

_KEYS = ("is_success", "success")


def judge_of(success: str | Callable[[Mapping[str, Any]], bool | None]) -> Judge:
    """What says after each step whether the task is solved so far.

    Args:
        success: `end`: as the last step says. `any`: as any step says. Or a callable of the last
            step's info.

    Raises:
        InvalidArgumentError: If it is none of these.
    """
    if callable(success):
        return lambda info, _: _answer(success(info))
    if success == "end":
        return lambda info, _: _said(info)
    if success == "any":
        return _any_so_far
    raise InvalidArgumentError(f"success must be 'end', 'any' or a callable, got {success!r:.80}")


def _any_so_far(info: Mapping[str, Any], before: bool | None) -> bool | None:
    said = _said(info)
    return before if said is None else bool(before) or said


def _said(info: Mapping[str, Any]) -> bool | None:
    for key in _KEYS:
        if key in info:
            return _answer(info[key])
    return None


def _answer(said: Any) -> bool | None:
    return None if said is None else bool(said)
