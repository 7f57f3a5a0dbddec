"""The worker factory: starts worker processes for the versions of a model."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Callable
from typing import Any

from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.contract.model_reading import METHODS
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.processes.pickling import pickled
from rlmesh.processes.supervisor import Supervisor
from rlmesh.server.failures import failed
from rlmesh.server.models.options import ModelOptions
from rlmesh.server.models.process.model_process import ModelProcess
from rlmesh.server.models.process.spec import ModelSpec
from rlmesh.transports.listener import SUPPORTED
from rlmesh_api.v1 import session_pb2

OnDeath = Callable[[ModelProcess], None]
"""Called on the supervisor's thread once a worker has died."""


def check_isolation(isolation: object) -> bool:
    """Whether models live in worker processes.

    Raises:
        InvalidArgumentError: If there is no such isolation.
    """
    if not (isolation is None or (isinstance(isolation, str) and isolation == "process")):
        raise InvalidArgumentError(f"isolation must be 'process' or None, got {isolation!r:.80}")
    return isolation is not None


class ModelWorkerFactory:
    """Starts the workers of one version of a model.

    Args:
        factory: The callable that makes the model, in the worker.
        name: The model's name; None: as its contract says.
        spaces: The spaces in place of the model's own.
        options: How it is served.
        supervisor: Where the workers are started and watched.

    Raises:
        ArgumentTypeError: If the callable cannot be sent to another process, or is none.
    """

    def __init__(
        self,
        factory: Any,
        name: str | None,
        spaces: dict[str, Any],
        options: ModelOptions,
        supervisor: Supervisor,
    ) -> None:
        _check_factory(factory)
        self._supervisor = supervisor
        self._spec = pickle.dumps(
            ModelSpec(
                factory=pickled(
                    (factory, spaces),
                    f"isolation='process': what makes the model, {factory!r:.80},",
                ),
                name=name,
                options=options,
                argv=list(sys.argv),
                level=logging.getLogger("rlmesh").getEffectiveLevel(),
                memory=SUPPORTED,
            )
        )

    def start(self, on_death: OnDeath) -> ModelProcess:
        """Starts a worker, and does not wait for its model.

        Raises:
            CallFailedError: If the system starts none.
        """
        try:
            return ModelProcess(self._supervisor, self._spec, on_death)
        except OSError as error:
            raise failed(
                session_pb2.ERROR_CODE_MODEL_CRASHED,
                f"no worker process could be started for the model: {error}",
            ) from error


def _check_factory(factory: Any) -> None:
    is_model = not isinstance(factory, type) and any(hasattr(factory, name) for name in METHODS)
    if is_mapping(factory) or is_model or not callable(factory):
        raise ArgumentTypeError(
            f"isolation='process' needs a callable without arguments that makes the model, for it "
            f"is made in another process, got {type(factory).__name__}; pass the model's class, or "
            f"lambda: MyModel('checkpoint.pt'), for instance"
        )
