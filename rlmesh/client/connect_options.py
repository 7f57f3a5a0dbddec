"""How a client connects: what its constructor takes, checked once and passed on whole."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from rlmesh.client.compression import wanted_compression
from rlmesh.client.expected_contract import check_affordable, check_expected, read_expected
from rlmesh.client.transport_selection import wanted_transport
from rlmesh.contract import AutoresetMode, EnvContract, autoreset_mode_from
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, WrongEndpointKindError
from rlmesh.foreign_text import one_line
from rlmesh.seconds import check_seconds
from rlmesh.security import Credentials, credentials_from


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """How a client connects, whatever its endpoint.

    Attributes:
        connect_timeout: Seconds until the endpoint must have answered. A server that is not up yet
            is tried again until then. None: no limit.
        request_timeout: Seconds until a call must have been answered. None: no limit.
        busy_timeout: Seconds to wait for a session where all are taken. None: no limit.
        transport: The transport to use if it is available, `shm`, `direct` or `grpc`. None: the
            fastest that is available.
        copy: Whether observations are copied, so that the caller may keep them.
        credentials: The token and the TLS files.
        reconnect: Whether the client resumes its session when the connection has broken, and opens
            another one with a reset where the session is over.
        max_contract_bytes: The memory that the spaces of the contract may take.
        compression: How large messages cross a network, by the user's word.
        longest_resume: For how many seconds at most the client tries to resume its session, or to
            open another one in its place. None: as long as the server keeps it, and as long as
            `connect_timeout` says.
        longest_silence: After how many seconds without a word from the server's machine the
            transport `direct` ends. None: when the stream notices it, which takes a minute.
    """

    connect_timeout: float | None
    request_timeout: float | None
    busy_timeout: float | None
    transport: str | None
    copy: bool
    credentials: Credentials
    reconnect: bool
    max_contract_bytes: int
    compression: str = "none"
    longest_resume: float | None = None
    longest_silence: float | None = None


def read_common(
    *,
    connect_timeout_seconds: object,
    request_timeout_seconds: object,
    busy_timeout_seconds: object,
    transport: str | None,
    copy: bool,
    token: object,
    tls: object,
    insecure: bool,
    reconnect: object,
    max_contract_bytes: object,
    compression: object = "none",
) -> dict[str, Any]:
    """Checks what all clients take; returns the arguments of `ConnectOptions`.

    Arguments and errors are those of `EnvConnectOptions.read`.
    """
    if not isinstance(reconnect, bool):
        raise ArgumentTypeError(
            f"reconnect must be True or False, got {type(reconnect).__name__} {reconnect!r:.80}"
        )
    return {
        "connect_timeout": check_seconds("connect_timeout_seconds", connect_timeout_seconds),
        "request_timeout": check_seconds("request_timeout_seconds", request_timeout_seconds),
        "busy_timeout": check_seconds("busy_timeout_seconds", busy_timeout_seconds),
        "transport": wanted_transport(transport),
        "copy": copy,
        "credentials": credentials_from(token, tls, os.environ, insecure=insecure),
        "reconnect": reconnect,
        "max_contract_bytes": _read_max_contract_bytes(max_contract_bytes),
        "compression": wanted_compression(compression),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvConnectOptions(ConnectOptions):
    """How a client connects to an environment.

    Attributes:
        vector: Whether the endpoint must be a vector environment. None: it may be either, and a
            single environment is driven as the only sub-environment of a vector environment.
        agents: Whether the endpoint must be an environment of many agents; otherwise it must not.
        expected: The contract that the endpoint's must be compatible with. None: any.
        autoreset: When the sub-environments of a vector environment reset themselves. None: the
            environment's own mode.
        render_mode: The render mode that the environment must have been made with. None: any.
    """

    vector: bool | None
    agents: bool = False
    expected: EnvContract | None
    autoreset: AutoresetMode | None
    render_mode: str | None

    @classmethod
    def read(
        cls,
        *,
        vector: bool | None,
        agents: bool = False,
        expect: object,
        expected_contract: EnvContract | None,
        render_mode: object = None,
        autoreset: object = None,
        **common: Any,
    ) -> EnvConnectOptions:
        """Checks what a user gives to the constructor of a client.

        Args:
            vector: As the attribute.
            agents: Likewise.
            expect: As the public clients document it.
            expected_contract: What the client's class expects where `expect` is None.
            render_mode: As the public clients document it.
            autoreset: Likewise.
            **common: What `read_common` checks.

        Raises:
            ArgumentTypeError: If a value has the wrong type.
            InvalidArgumentError: If a value is out of its range, or a file holds no contract.
            InvalidCredentialsError: If the token cannot be one.
        """
        return cls(
            **read_common(**common),
            vector=vector,
            agents=agents,
            expected=read_expected(expect, expected_contract),
            render_mode=_read_render_mode(render_mode),
            autoreset=_read_autoreset(autoreset),
        )

    def for_any_kind(self) -> EnvConnectOptions:
        """The same for an endpoint that may be a vector environment or a single one."""
        return dataclasses.replace(self, vector=None)

    def for_servers_named(self, name: str | None) -> EnvConnectOptions:
        """The same for servers whose certificates have a name; None: each the host's.

        What the user says about the name takes precedence.
        """
        tls = self.credentials.tls
        if name is None or tls is None or tls.server_name is not None:
            return self
        named = dataclasses.replace(tls, server_name=name)
        return dataclasses.replace(
            self, credentials=dataclasses.replace(self.credentials, tls=named)
        )

    def check(self, contract: EnvContract, address: str) -> None:
        """Refuses an endpoint that this client is not for.

        Raises:
            WrongEndpointKindError: If it is a vector environment or one of many agents and must not
                be one, or the other way round.
            ContractMismatchError: If its contract breaks the expected one.
            InvalidArgumentError: If its environment was made with another render mode.
            ProtocolError: If the spaces of its contract take more memory than allowed.
        """
        self._check_kind(contract)
        # What is not expected is refused for that, whatever it takes: to compare makes no space.
        check_expected(self.expected, address, contract)
        if self.render_mode is not None and self.render_mode != contract.render_mode:
            made_with = one_line(repr(contract.render_mode))
            raise InvalidArgumentError(
                f"render_mode={self.render_mode!r}: the environment at {address} was made with the "
                f"render mode {made_with}, which no client can change; choose it "
                f"where the environment is made, as in gymnasium.make(..., "
                f"render_mode={self.render_mode!r})"
            )
        as_vector = self.vector is not False
        check_affordable(contract, address, self.max_contract_bytes, as_vector=as_vector)

    def _check_kind(self, contract: EnvContract) -> None:
        name = one_line(contract.id)
        if contract.agents is not None:
            if not self.agents:
                raise WrongEndpointKindError(
                    f"{name} is an environment of many agents, {len(contract.agents.names)} at "
                    f"most; connect with rlmesh.RemoteParallelEnv"
                )
        elif contract.vector and (self.agents or self.vector is False):
            raise WrongEndpointKindError(
                f"{name} is a vector environment with {contract.num_envs} sub-environments; "
                f"connect with rlmesh.RemoteVectorEnv"
            )
        elif self.agents or (self.vector and not contract.vector):
            raise WrongEndpointKindError(
                f"{name} is a single environment; connect with rlmesh.RemoteEnv"
            )


def _read_max_contract_bytes(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise ArgumentTypeError(
            f"max_contract_bytes must be an int, got {type(given).__name__} {given!r:.80}"
        )
    if given < 1:
        raise InvalidArgumentError(f"max_contract_bytes must be 1 or more, got {given}")
    return given


def _read_render_mode(given: object) -> str | None:
    if given is not None and not isinstance(given, str):
        raise ArgumentTypeError(
            f"render_mode must be a str or None, got {type(given).__name__} {given!r:.80}"
        )
    return given


def _read_autoreset(autoreset: object) -> AutoresetMode | None:
    if autoreset is None:
        return None
    mode = autoreset_mode_from(autoreset)
    if mode is None:
        raise InvalidArgumentError(
            f"autoreset must be one of {', '.join(AutoresetMode)}, or None for the environment's "
            f"own mode, got {autoreset!r}"
        )
    return mode
