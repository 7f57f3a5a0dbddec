"""One model of a server: its contract, and its versions, of which the newest answers."""

from __future__ import annotations

import logging
import threading
from typing import Any

from rlmesh.contract import ModelContract, compare_contracts, read_model_contract
from rlmesh.errors import ContractMismatchError
from rlmesh.server.models.codecs import ModelCodecs
from rlmesh.server.models.options import ModelOptions
from rlmesh.server.models.version import ModelVersion

_log = logging.getLogger("rlmesh.server")


class ServedModel:
    """A model and its versions.

    Episodes begin with the newest version, and keep theirs until the next reset. `_lock` guards
    `_versions`, the counts of their sessions and `current`.

    Args:
        model: The model.
        name: Its name among those of its server; None: as `read_model_contract` says.
        spaces: The spaces in place of the model's own: `observation_space` and `action_space`.
        options: How it is served.

    Attributes:
        contract: Its contract.
        codecs: What its values go through.
        current: The version that episodes begin with.

    Raises:
        InvalidModelError: If it has not the form of a model.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
    """

    def __init__(
        self, model: Any, name: str | None, spaces: dict[str, Any], options: ModelOptions
    ) -> None:
        self._options = options
        self._spaces = spaces
        self.contract: ModelContract = self._read(model, name)
        self.codecs: ModelCodecs = ModelCodecs(self.contract, options.policy)
        self.current: ModelVersion = ModelVersion(model, 1, self.contract, options)
        self._lock = threading.Lock()
        self._versions: list[ModelVersion] = [self.current]

    def versions(self) -> list[ModelVersion]:
        """Every version that has not ended, the newest last. Any thread may ask."""
        with self._lock:
            return list(self._versions)

    def join(self) -> ModelVersion:
        """The version for an episode that begins; `leave` gives it back. Any thread may ask."""
        with self._lock:
            version = self.current
            version.batcher.sessions += 1
        return version

    def leave(self, version: ModelVersion) -> None:
        """An episode with a version is over. The last one of a replaced version ends that."""
        with self._lock:
            version.batcher.sessions -= 1
        self._retire(version)

    def reload(self, model: Any) -> ModelVersion:
        """Warms another model up beside the current one, and replaces that. Waits.

        Raises:
            InvalidModelError: If it has not the form of a model.
            ContractMismatchError: If its contract is another one.
            BaseException: What its `warmup` raises.
        """
        contract = self._read(model, self.contract.id)
        if contract != self.contract:
            differences = compare_contracts(self.contract, contract)
            raise ContractMismatchError(
                f"the model {contract.id} cannot be replaced by one with another contract, which "
                f"its clients rely on: {'; '.join(map(str, differences))}. Serve it under another "
                f"name or address",
                differences=differences,
            )
        version = ModelVersion(model, self.current.number + 1, contract, self._options)
        version.thread.start()
        warm = threading.Event()
        found: list[BaseException | None] = []

        def then(error: BaseException | None) -> None:
            found.append(error)
            warm.set()

        version.warm_up(then)
        warm.wait()
        if found[0] is not None:
            version.retire()
            raise found[0]
        with self._lock:
            before, self.current = self.current, version
            version.number = before.number + 1
            self._versions.append(version)
        _log.info("the model %s is at version %d", contract.id, version.number)
        self._retire(before)
        return version

    def _retire(self, version: ModelVersion) -> None:
        with self._lock:
            if version is self.current or version.batcher.sessions or version not in self._versions:
                return
            self._versions.remove(version)
        version.retire()

    def _read(self, model: Any, name: str | None) -> ModelContract:
        return read_model_contract(
            model, name, max_batch_size=self._options.max_batch_size, **self._spaces
        )
