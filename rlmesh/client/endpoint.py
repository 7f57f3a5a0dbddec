"""What a session asks of the kind of its endpoint; and an environment as such an endpoint."""

from __future__ import annotations

from typing import Protocol

from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.connection import Connection
from rlmesh.client.expected_contract import check_unchanged, read_response
from rlmesh.client.kinds import ENV_CONTRACT, ENVIRONMENT, Kind
from rlmesh.codec.step.result import StepResultCodec, compile_step_result
from rlmesh.codec.step.wire import PREFIX
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh_api.v1 import session_pb2


class Endpoint(Protocol):
    """What differs between kinds of endpoints, as far as a client's session knows it.

    Attributes:
        kind: The kind.
        head: How many bytes of most answers stand before their slab.
    """

    kind: Kind
    head: int

    def open(self, connection: Connection, address: str, timeout: float | None) -> None:
        """Reads the contract and checks it, before the first session.

        Args:
            connection: The connection to the endpoint.
            address: Its address.
            timeout: Seconds until it must have answered; None: no limit.

        Raises:
            RlmeshError: As `CallClient` says.
        """
        ...

    def reopen(self, connection: Connection, address: str, timeout: float | None) -> None:
        """Reads the contract and checks that it is the same, before a later session.

        Arguments and errors are those of `open`, and besides:

        Raises:
            ContractMismatchError: If it has changed.
        """
        ...

    def prepare(self, call: session_pb2.OpenCall) -> None:
        """Adds to a call that opens a session what only this kind says there."""
        ...


class EnvEndpoint:
    """An environment as an endpoint; see `Endpoint`.

    Args:
        options: How to connect.

    Attributes:
        contract: The endpoint's contract, once `open` has read it, as the following.
        num_envs: The number of sub-environments of a vector environment; None for a single one.
        mode: When sub-environments reset themselves; None for a single environment, and where
            neither the contract nor the caller says.
        form: Reads and writes the result of a step.
    """

    kind = ENVIRONMENT
    contract: EnvContract
    num_envs: int | None
    mode: AutoresetMode | None
    form: StepResultCodec
    head: int

    def __init__(self, options: EnvConnectOptions) -> None:
        self._options = options
        self._autoreset = options.autoreset

    def open(self, connection: Connection, address: str, timeout: float | None) -> None:
        """Reads the contract and checks it; see `Endpoint`."""
        contract = self._read(connection, address, timeout)
        self._options.check(contract, address)
        self.contract = contract
        self.num_envs = None if self._options.vector is False else contract.num_envs
        self.mode = self._autoreset or contract.autoreset_mode
        if self.num_envs and not contract.vector:
            self.mode = self._autoreset = self.mode or AutoresetMode.NEXT_STEP
        self.form = compile_step_result(self.num_envs)
        self.head = PREFIX + self.form.head

    def reopen(self, connection: Connection, address: str, timeout: float | None) -> None:
        """Reads the contract and checks that it is the same; see `Endpoint`."""
        check_unchanged(self.contract, address, self._read(connection, address, timeout))

    def prepare(self, call: session_pb2.OpenCall) -> None:
        """Says how sub-environments are driven; see `Endpoint`."""
        call.as_vector = self._options.vector is None
        if self._autoreset is not None:
            call.autoreset_mode = self._autoreset.to_proto()

    def _read(self, connection: Connection, address: str, timeout: float | None) -> EnvContract:
        answer = connection.contract(ENV_CONTRACT, self.kind, timeout)
        return read_response(answer, address, self._options.max_contract_bytes)
