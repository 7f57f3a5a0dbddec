"""Records what happens in a served environment."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.server.envs.options import RecordOptions

if TYPE_CHECKING:
    from rlmesh.recording.recorded_env import RecordedEnv

_log = logging.getLogger("rlmesh.server")


class EnvRecording:
    """The recordings of one environment: another one where sessions ask for another mode.

    It is called on the thread of the environment's slot.

    Args:
        options: Where and how to record.
    """

    def __init__(self, options: RecordOptions) -> None:
        self._options = options
        self._recorded: RecordedEnv | None = None
        # What is recorded: which environment, and with which contract.
        self._of: tuple[int, EnvContract] | None = None

    def around(self, env: Any, contract: EnvContract, mode: AutoresetMode | None) -> Any:
        """The environment, with what happens in it recorded from now on.

        Where the recording cannot be made the environment itself is served, and the log says why.

        Args:
            env: The environment, as a session has it.
            contract: Its contract.
            mode: The autoreset mode in which it runs.
        """
        if contract.vector and mode is not None:
            contract = replace(contract, autoreset_mode=mode)
        if self._recorded is not None and self._of == (id(env), contract):
            return self._recorded
        self.close()
        try:
            self._recorded = self._made(env, contract)
        except OSError as error:
            _log.error(
                "what happens from here on is not recorded, because no recording can be made in "
                "%s: %s",
                self._options.folder,
                error.strerror or error,
            )
            return env
        self._of = (id(env), contract)
        return self._recorded

    def close(self) -> None:
        """Ends the recording."""
        if self._recorded is not None:
            recorded, self._recorded = self._recorded, None
            recorded.writer.close()

    def _made(self, env: Any, contract: EnvContract) -> RecordedEnv:
        from rlmesh.recording.recorded_env import RecordedEnv

        options = self._options
        return RecordedEnv(
            env,
            contract,
            options.folder,
            max_bytes=options.max_bytes,
            observations=options.observations,
            served=True,
        )
