"""Makes the versions of a model that lives in worker processes."""

from __future__ import annotations

from typing import Any

from rlmesh.processes.supervisor import Supervisor
from rlmesh.server.models.options import ModelOptions
from rlmesh.server.models.process.backend import RelayBackend
from rlmesh.server.models.process.factory import ModelWorkerFactory
from rlmesh.server.models.process.version import ProcessVersion
from rlmesh.server.models.served_model import ServedModel


class ProcessMaker:
    """Makes versions whose calls are in a worker process; see `Maker`.

    Args:
        spaces: The spaces in place of the model's own: `observation_space` and `action_space`.
        options: How the model is served.

    Attributes:
        hosts: False: each session waits for the worker on its own thread.
    """

    def __init__(self, spaces: dict[str, Any], options: ModelOptions) -> None:
        self.hosts: bool = False
        self._spaces = spaces
        self._options = options
        self._supervisor = Supervisor()

    def make_version(self, model: Any, number: int, name: str | None) -> ProcessVersion:
        """Makes a version of the model that a callable makes; see `Maker`.

        Raises:
            ArgumentTypeError: If it is no such callable, or cannot be sent to another process.
            RlmeshError: If it makes no model.
        """
        factory = ModelWorkerFactory(model, name, self._spaces, self._options, self._supervisor)
        return ProcessVersion(factory, number)

    def make_backend(self, served: ServedModel) -> RelayBackend:
        """What answers the calls of a session."""
        return RelayBackend(served)
