"""What RLMesh has to say about a single environment's values, beside its infos.

Readers of infos expect the same keys in every step of an episode: Minari's collector fails at a key
that comes with the third step. Infos of vector environments have masks for such keys; those of
single environments have none. So a single environment's info stays as the environment made it.
"""

from __future__ import annotations

import logging
from typing import Any

from rlmesh.codec.infos.info_keys import CONFORMANCE_WARNING, INFO_DEGRADED
from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.foreign_text import one_line

_log = logging.getLogger("rlmesh.client")

MAX_NOTICES = 1000
"""How many different notices a client keeps; a server cannot fill its memory."""

_LONGEST_LINE = 1000


class Notices:
    """Takes RLMesh's keys out of infos; keeps and logs what they say, each notice once.

    Attributes:
        kept: The notices so far, in the order of their coming.
    """

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self._known: set[str] = set()

    def take(self, info: dict[str, Any]) -> None:
        """Takes the keys out of an info."""
        for key in (CONFORMANCE_WARNING, INFO_DEGRADED):
            listed = info.pop(key, None)
            if not is_row(listed):
                continue
            for item in listed:
                self._add({"key": key, **item} if is_mapping(item) else {"key": key})

    def _add(self, notice: dict[str, Any]) -> None:
        text = ", ".join(f"{name}: {value}" for name, value in notice.items() if name != "detail")
        if text in self._known or len(self._known) >= MAX_NOTICES:
            return
        self._known.add(text)
        self.kept.append(notice)
        detail = notice.get("detail", "")
        _log.warning("%s", one_line(f"{text}{f': {detail}' if detail else ''}", _LONGEST_LINE))
