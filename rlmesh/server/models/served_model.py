"""One model of a server: its contract, and its versions, of which the newest answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from rlmesh.contract import ModelContract, compare_contracts
from rlmesh.errors import ContractMismatchError
from rlmesh.server.call_thread import CallThread
from rlmesh.server.models.codecs import ModelCodecs
from rlmesh.server.models.options import ModelOptions
from rlmesh_api.v1 import env_service_pb2

_log = logging.getLogger("rlmesh.server")


class Version(Protocol):
    """A version of a model, whose calls are in this process or in another; see `ModelVersion`.

    Attributes:
        number: Its number, from 1.
        on_ready: Called when the model stops to answer, and when it answers again.
    """

    number: int
    on_ready: Callable[[bool], None]

    @property
    def sessions(self) -> int:
        """How many sessions have it."""
        ...

    @sessions.setter
    def sessions(self, count: int) -> None: ...
    @property
    def contract(self) -> ModelContract:
        """Its contract."""
        ...

    @property
    def thread(self) -> CallThread:
        """The thread that begins and ends it."""
        ...

    def warm_up(self, then: Callable[[BaseException | None], None]) -> None:
        """Has it warm up on its thread; `then` is given what was raised, or None."""

    def retire(self) -> None:
        """Closes the model and ends its thread, once it is in no call. Does not wait."""

    def discard(self) -> None:
        """Ends what was started for it, because there will be no server."""

    def status(self) -> env_service_pb2.ModelStatus:
        """What the model is doing. Any thread may ask."""
        ...


class Maker(Protocol):
    """Makes the versions of a model, and what answers the calls of its sessions.

    Attributes:
        hosts: Whether the thread of a version can execute the calls of a session.
    """

    hosts: bool

    def make_version(self, model: Any, number: int, name: str | None) -> Version:
        """Makes a version of a model.

        Raises:
            InvalidModelError: If it has not the form of a model.
            UnsupportedSpaceError: If one of its spaces cannot be carried.
        """
        ...

    def make_backend(self, served: ServedModel) -> Any:
        """What answers the calls of a session; see `SessionBackend`."""
        ...


class ServedModel:
    """A model and its versions.

    Episodes begin with the newest version, and keep theirs until the next reset. `_lock` guards
    `_versions`, the counts of their sessions and `current`.

    Args:
        model: The model.
        name: Its name among those of its server; None: as `read_model_contract` says.
        maker: Makes its versions.
        options: How it is served.

    Attributes:
        contract: Its contract.
        maker: As given.
        codecs: What its values go through.
        current: The version that episodes begin with.

    Raises:
        InvalidModelError: If it has not the form of a model.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
    """

    def __init__(self, model: Any, name: str | None, maker: Maker, options: ModelOptions) -> None:
        self.maker: Maker = maker
        self.current: Version = maker.make_version(model, 1, name)
        self.contract: ModelContract = self.current.contract
        self.codecs: ModelCodecs = ModelCodecs(self.contract, options.policy)
        self._lock = threading.Lock()
        self._versions: list[Version] = [self.current]

    def versions(self) -> list[Version]:
        """Every version that has not ended, the newest last. Any thread may ask."""
        with self._lock:
            return list(self._versions)

    def join(self) -> Any:
        """The version for an episode that begins; `leave` gives it back. Any thread may ask."""
        with self._lock:
            version = self.current
            version.sessions += 1
        return version

    def leave(self, version: Version) -> None:
        """An episode with a version is over. The last one of a replaced version ends that."""
        with self._lock:
            version.sessions -= 1
        self._retire(version)

    def reload(self, model: Any) -> Version:
        """Warms another model up beside the current one, and replaces that. Waits.

        Raises:
            InvalidModelError: If it has not the form of a model.
            ContractMismatchError: If its contract is another one.
            BaseException: What its `warmup` raises.
        """
        version = self.maker.make_version(model, self.current.number + 1, self.contract.id)
        contract = version.contract
        if contract != self.contract:
            version.discard()
            differences = compare_contracts(self.contract, contract)
            raise ContractMismatchError(
                f"the model {contract.id} cannot be replaced by one with another contract, which "
                f"its clients rely on: {'; '.join(map(str, differences))}. Serve it under another "
                f"name or address",
                differences=differences,
            )
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
            version.on_ready, before.on_ready = before.on_ready, version.on_ready
            version.number = before.number + 1
            self._versions.append(version)
        # It answers, also where the process of the last one had died.
        version.on_ready(True)
        _log.info("the model %s is at version %d", contract.id, version.number)
        self._retire(before)
        return version

    def _retire(self, version: Version) -> None:
        with self._lock:
            if version is self.current or version.sessions or version not in self._versions:
                return
            self._versions.remove(version)
        version.retire()
