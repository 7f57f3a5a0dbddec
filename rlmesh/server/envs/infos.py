"""Packs the infos of a session, with what RLMesh reports in them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlmesh.codec.checks.conformance import Policy, Reporter
from rlmesh.codec.infos.info_keys import CONFORMANCE_WARNING, INFO_DEGRADED
from rlmesh.codec.infos.packing import Degraded, pack_info
from rlmesh.codec.slab.violations import Deviation
from rlmesh.foreign_text import one_line

_log = logging.getLogger("rlmesh.server")


class InfoPacker:
    """Packs infos; reports each deviation and degradation once in a session.

    Args:
        policy: What to do about values outside of their bounds.
        num_envs: The number of sub-environments of a vector environment; None for a single one.

    Attributes:
        deviations: How many values were out of their bounds so far, by kind.
    """

    def __init__(self, policy: Policy, num_envs: int | None = None) -> None:
        self.deviations: Counter[str] = Counter()
        self._policy = policy
        self._num_envs = num_envs
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
                info = {**info, **self._warning(news)}
        packed, degraded = pack_info(info, num_envs=self._num_envs)
        if degraded:
            self._report(degraded)
        return packed

    def _warning(self, news: list[dict[str, Any]]) -> dict[str, Any]:
        """What an info says of deviations; see `info_keys` for its form."""
        if self._num_envs is None:
            return {CONFORMANCE_WARNING: news}
        lists = np.full(self._num_envs, None)
        for item in news:
            # Where the sub-environment is not known, it may be each of them.
            index = item["env_index"]
            for env_index in range(self._num_envs) if index is None else [index]:
                lists[env_index] = [*(lists[env_index] or ()), item]
        mask = np.array([listing is not None for listing in lists])
        return {CONFORMANCE_WARNING: lists, f"_{CONFORMANCE_WARNING}": mask}

    def _report(self, degraded: list[Degraded]) -> None:
        for part in degraded:
            # Once for each type and reason, not for each path: paths may change at every step.
            what = (part.type, part.reason)
            if what not in self._reported:
                self._reported.add(what)
                _log.warning(
                    "the info's %s arrives as text, for a value of type %s cannot travel (%s); the "
                    "client's info lists it under %r",
                    one_line(part.path),
                    one_line(part.type),
                    one_line(part.reason),
                    INFO_DEGRADED,
                )
