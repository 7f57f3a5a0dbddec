"""Repeats what a recording holds in another environment, and names the first difference.

`rlmesh.replay` is here.

Modules:
    replaying: `replay`.
    player: Repeats the calls of one recording.
    comparing: Compares what two calls returned, bit for bit.
    info_comparison: Compares infos.
    distance: How far two numbers lie apart.
    results: `Replay`, and what it names.
    opening: Where the environment comes from.
"""

from __future__ import annotations

from rlmesh.replaying.results import Difference, ReplayedEpisode

__all__ = ["Difference", "ReplayedEpisode"]
