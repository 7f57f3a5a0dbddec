"""Makes the versions of a model that lives in this process."""

from __future__ import annotations

from typing import Any

from rlmesh.contract import read_model_contract
from rlmesh.server.models.backend import ModelBackend
from rlmesh.server.models.options import ModelOptions
from rlmesh.server.models.served_model import ServedModel
from rlmesh.server.models.version import ModelVersion


class LocalMaker:
    """Makes versions whose calls are in this process; see `Maker`.

    Args:
        spaces: The spaces in place of the model's own: `observation_space` and `action_space`.
        options: How the model is served.

    Attributes:
        hosts: True: a version's thread is that of the model's calls.
    """

    def __init__(self, spaces: dict[str, Any], options: ModelOptions) -> None:
        self.hosts: bool = True
        self._spaces = spaces
        self._options = options

    def make_version(self, model: Any, number: int, name: str | None) -> ModelVersion:
        """Makes a version of a model; see `Maker`."""
        limit = self._options.max_batch_size
        contract = read_model_contract(model, name, max_batch_size=limit, **self._spaces)
        return ModelVersion(model, number, contract, self._options)

    def make_backend(self, served: ServedModel) -> ModelBackend:
        """What answers the calls of a session."""
        return ModelBackend(served)
