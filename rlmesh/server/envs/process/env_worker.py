"""A worker that holds an environment, and can be lent the pipes of clients."""

from __future__ import annotations

from rlmesh.processes.supervisor import Supervisor
from rlmesh.processes.worker_process import WorkerProcess
from rlmesh.server.envs.process.lending import Lending, open_lending

_PROGRAM = "rlmesh.server.envs.process.worker_main"


class EnvWorker(WorkerProcess):
    """A worker; see `WorkerProcess`.

    Args:
        supervisor: Where it is started and watched.
        spec: What it is to make, pickled.

    Attributes:
        lending: Lends it the pipes of clients; None where the system does not give what that needs.

    Raises:
        OSError: If no process can be started.
    """

    def __init__(self, supervisor: Supervisor, spec: bytes) -> None:
        self.lending: Lending | None = open_lending()
        lending = self.lending
        try:
            super().__init__(
                supervisor, spec, _PROGRAM, (-1, -1) if lending is None else lending.theirs
            )
        except BaseException:
            self._close()
            raise
        if lending is not None:
            lending.close_theirs()

    def end(self) -> None:
        """Waits for its death, and closes what this side has; see `WorkerProcess`."""
        super().end()
        self._close()

    def _close(self) -> None:
        if self.lending is not None:
            self.lending.close()
