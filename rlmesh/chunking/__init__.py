"""Drives a model that gives chunks of actions as one that gives one action at a time.

chunks     `Chunks`: which action is for which step, and when the next chunk is asked for
asking     a chunk that is being computed: by a thread, by a served model, or at once
blending   one action of several that were planned for a step
pace       how many actions a chunk has to be asked for ahead
counts     what was asked for, executed and dropped, and who waited
"""

from __future__ import annotations

from rlmesh.chunking.chunks import Chunks
from rlmesh.chunking.counts import ChunkStats

__all__ = ["ChunkStats", "Chunks"]
