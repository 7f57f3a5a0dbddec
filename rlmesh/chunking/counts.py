"""What `Chunks` has done so far."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ChunkStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkStats:
    """What chunks were asked for, what became of their actions, and how long calls waited.

    The actions of all chunks are `executed + dropped + queued`.

    Attributes:
        asked: How many chunks were asked for.
        executed: How many actions `act` has returned.
        dropped: How many actions of chunks were not executed: they came too late, a newer chunk has
            replaced them, a reset came, or the model failed.
        queued: How many actions are there or are being computed, and are not executed yet.
        waited_seconds: For how many seconds `act` has waited for chunks.
        inference_seconds: For how many seconds chunks were computed. Of a served model whose answer
            was there before it was needed, this is its last known latency.
    """

    asked: int
    executed: int
    dropped: int
    queued: int
    waited_seconds: float
    inference_seconds: float

    @property
    def hidden(self) -> float:
        """The part of `inference_seconds` for which nobody waited, 0 to 1; 0 before the first."""
        if self.inference_seconds <= 0:
            return 0.0
        return max(0.0, 1.0 - self.waited_seconds / self.inference_seconds)
