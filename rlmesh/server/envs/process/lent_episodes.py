"""The episodes of a session whose environment is in a worker process, which counts them."""

from __future__ import annotations

from rlmesh.server.envs.episodes import NONE_ENDED, Ended
from rlmesh.server.envs.process.call_page import CallPage


class LentEpisodes:
    """Adds up what the workers of a session have noted in their call pages."""

    def __init__(self) -> None:
        # What the former workers have noted, and the page of the present one; read as a whole.
        self._state: tuple[Ended, CallPage | None] = NONE_ENDED, None

    def follow(self, page: CallPage | None) -> None:
        """Another worker counts from now on. On the slot's thread.

        Args:
            page: Its page; None: it has none, and counts nothing that is known here.
        """
        self._state = self.ended, page

    @property
    def ended(self) -> Ended:
        """How many have ended, and the sums of their returns and lengths. Any thread may ask."""
        (count, returns, lengths), page = self._state
        if page is None:
            return count, returns, lengths
        more, more_returns, more_lengths = page.episodes()
        return count + more, returns + more_returns, lengths + more_lengths
