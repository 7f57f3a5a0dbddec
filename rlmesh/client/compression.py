"""What a client compresses: the user's word, and what its server can read."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.transports.compression.algorithms import BY_NAME, IDENTITY, LIBRARIES, NAMES, available
from rlmesh.transports.compression.choice import Choice, FastestChoice, GivenChoice
from rlmesh.transports.compression.messages import LEAST_BYTES
from rlmesh.transports.compression.transport import CompressingTransport
from rlmesh.transports.transport import Transport
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.client")

_WORDS = (*BY_NAME, "auto")
_INSTALL = "`pip install 'rlmesh[compression]'`"


def wanted_compression(given: object) -> str:
    """The compression that the user asks for.

    Raises:
        InvalidArgumentError: If there is no such compression.
        StateError: If its package is not installed.
    """
    if not isinstance(given, str) or given not in _WORDS:
        raise InvalidArgumentError(
            f"compression must be one of {', '.join(_WORDS)}, got {given!r:.80}"
        )
    if given == "auto":
        if not available():
            raise StateError(
                f'compression="auto" needs lz4 or zstandard, and neither is installed; run '
                f"{_INSTALL}"
            )
    elif BY_NAME[given] not in (IDENTITY, *available()):
        raise StateError(
            f'compression="{given}" needs {LIBRARIES[BY_NAME[given]]}, which is not installed; run '
            f"{_INSTALL}"
        )
    return given


class Compressing:
    """Puts compression around the transports of a session. Only the thread of a call uses it.

    Args:
        wanted: What `wanted_compression` returned.
        address: The endpoint's address, for messages.
    """

    def __init__(self, wanted: str, address: str) -> None:
        self._wanted = wanted
        self._address = address
        self._choice: Choice | None = None

    def around(
        self, transport: Transport, served: Iterable[session_pb2.Compression.ValueType]
    ) -> Transport:
        """The transport through which the session's calls cross.

        Args:
            transport: The transport that carries them.
            served: The compressions that the server knows.

        Raises:
            StateError: If the server does not know the one that the user asks for.
        """
        if self._wanted == "none":
            return transport
        # In memory nothing is saved. But the answer that a server has kept may be compressed.
        if transport.name == "shm" and self._choice is None:
            return transport
        if self._choice is None:
            self._choice = self._choose([known for known in available() if known in set(served)])
        return CompressingTransport(transport, self._choice, self._address)

    def _choose(self, common: list[session_pb2.Compression.ValueType]) -> Choice:
        if self._wanted == "auto":
            if not common:
                _log.info(
                    "the server at %s knows no compression that this client knows; messages cross "
                    "as they are. %s there adds it",
                    self._address,
                    _INSTALL,
                )
            return FastestChoice(common, self._address, LEAST_BYTES)
        compression = BY_NAME[self._wanted]
        if compression not in common:
            known = ", ".join(NAMES[each] for each in common) or "none"
            raise StateError(
                f'compression="{self._wanted}": the server at {self._address} does not know it (of '
                f"those that this client knows: {known}); run {_INSTALL} there, or pass "
                f'compression="auto"'
            )
        return GivenChoice(compression)
