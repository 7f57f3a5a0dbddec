"""Packs the infos of a session, with what RLMesh reports in them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rlmesh.codec.checks.conformance import Policy, Reporter
from rlmesh.codec.infos.info_keys import CONFORMANCE_WARNING, INFO_DEGRADED
from rlmesh.codec.infos.packing import Degraded, pack_info
from rlmesh.codec.slab.violations import Deviation

_log = logging.getLogger("rlmesh.server")


class InfoPacker:
    """Packs infos; reports each deviation and degradation once in a session.

    Args:
        policy: What to do about values outside of their bounds.

    Attributes:
        deviations: How many values were out of their bounds so far, by kind.
    """

    def __init__(self, policy: Policy) -> None:
        self.deviations: Counter[str] = Counter()
        self._policy = policy
        self._reporter = Reporter()
        self._reported: set[tuple[str, str]] = set()

    def pack(self, info: Mapping[str, Any], deviations: Sequence[Deviation]) -> bytes:
        """Packs an info; empty for an empty one.

        Args:
            info: What the environment gave.
            deviations: The deviations to report in it.
        """
        if deviations and self._policy is not Policy.OFF:
            self.deviations.update(item.kind for item in deviations)
            news = self._reporter.filter(deviations)
            if news:
                info = {**info, CONFORMANCE_WARNING: news}
        packed, degraded = pack_info(info)
        if degraded:
            self._report(degraded)
        return packed

    def _report(self, degraded: list[Degraded]) -> None:
        for part in degraded:
            # Once for each type and reason, not for each path: paths may change at every step.
            what = (part.type, part.reason)
            if what not in self._reported:
                self._reported.add(what)
                _log.warning(
                    "the info's %s arrives as text, for a value of type %s cannot travel (%s); the "
                    "client's info lists it under %r",
                    part.path,
                    part.type,
                    part.reason,
                    INFO_DEGRADED,
                )
