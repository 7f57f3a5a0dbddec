"""An environment slot: one environment and the one thread that calls it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rlmesh.contract import EnvContract, compare_contracts
from rlmesh.errors import InvalidEnvError
from rlmesh.seconds import LONGEST_SECONDS
from rlmesh.server.call_thread import CallThread
from rlmesh.server.envs.autoreset import requested_mode
from rlmesh.server.envs.backend import Backend
from rlmesh.server.failures import CallFailedError, another_contract, env_raised, log_text
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")


class EnvSlot:
    """One environment and its thread.

    Args:
        make: Makes the backend, on the slot's thread.
        contract: What its contract must be; None: any.

    Attributes:
        thread: The thread.
    """

    def __init__(self, make: Callable[[], Backend], contract: EnvContract | None = None) -> None:
        self.thread: CallThread = CallThread("rlmesh-env")
        self._make = make
        self._contract = contract
        self._backend: Backend | None = None
        self._closed = False

    @property
    def backend(self) -> Backend:
        """The backend, made at the first use, which must be on the slot's thread."""
        backend = self._backend
        if backend is None:
            backend = self._backend = self._made()
        return backend

    @property
    def made(self) -> Backend | None:
        """The backend, if there is one. Any thread may ask."""
        return self._backend

    def enter(self, call: session_pb2.OpenCall) -> None:
        """Prepares the slot for a session, on its thread.

        Args:
            call: What the client asks for.

        Raises:
            CallFailedError: If the environment cannot be made, is another one than the contract
                says, or has no such mode.
        """
        try:
            backend = self.backend
        except CallFailedError:
            raise
        except BaseException as error:
            raise env_raised("making an environment for this session", error) from error
        timeout = call.request_timeout_seconds
        backend.begin_session(
            requested_mode(call),
            as_vector=call.as_vector,
            timeout=timeout if 0 < timeout <= LONGEST_SECONDS else None,
        )

    def stack(self) -> str:
        """Where the call in progress is, the innermost frame last; empty between calls."""
        if self.thread.running is None:
            return ""
        stack = None if self._backend is None else self._backend.stack()
        return self.thread.stack() if stack is None else stack

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Ends the call in progress by force, if there is a way to; see `Backend`."""
        backend = self._backend
        return backend is not None and backend.abandon(reason, starting=starting)

    def close(self) -> None:
        """Closes the environment, once, on its thread. What it raises is logged."""
        if self._closed or self._backend is None:
            return
        self._closed = True
        try:
            self._backend.close()
        except BaseException as error:  # noqa: BLE001 - the session ends in any case
            failure = env_raised("the environment's close()", error).failure
            _log.error("%s", log_text(failure))

    def _made(self) -> Backend:
        made = self._make()
        if self._contract is None:
            return made
        found = compare_contracts(self._contract, made.contract)
        if found:
            try:
                made.close()
            except Exception:  # noqa: BLE001 - why it is refused matters more
                _log.exception("an environment with another contract could not be closed")
            raise InvalidEnvError(another_contract(found))
        return made
