"""A model as the endpoint of a client's session."""

from __future__ import annotations

from dataclasses import dataclass

from rlmesh.adapters.adapter import Adapter
from rlmesh.client.connect_options import ConnectOptions
from rlmesh.client.connection import Connection
from rlmesh.client.expected_contract import (
    check_affordable,
    check_expected,
    check_unchanged,
    fitted,
    read_model_response,
)
from rlmesh.client.kinds import MODEL, model_contract
from rlmesh.codec.step.prediction import RESULT_HEAD
from rlmesh.contract import EnvContract, ModelContract
from rlmesh_api.contract import AdapterStep
from rlmesh_api.v1 import session_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConnectOptions(ConnectOptions):
    """How a client connects to a model.

    Attributes:
        model: The model's name; None: the only one.
        expected: The contract that the model's must be compatible with. None: any.
        env: The contract of the environment that the model is to drive. None: any.
        steps: The steps between the two. None: those that the model's contract has.
    """

    model: str | None
    expected: ModelContract | None
    env: EnvContract | None
    steps: tuple[AdapterStep, ...] | None


class ModelEndpoint:
    """A model as an endpoint; see `rlmesh.client.endpoint.Endpoint`.

    Args:
        options: How to connect.

    Attributes:
        contract: The model's contract, once `open` has read it.
        adapter: What stands between the environment and the model; None where nothing does.
    """

    kind = MODEL
    head = RESULT_HEAD
    contract: ModelContract

    def __init__(self, options: ModelConnectOptions) -> None:
        self._options = options
        self.adapter: Adapter | None = None

    def open(self, connection: Connection, address: str, timeout: float | None) -> None:
        """Reads the contract and checks it; see `Endpoint`."""
        contract = self._read(connection, address, timeout)
        options = self._options
        check_expected(options.expected, address, contract)
        if options.env is not None:
            self.adapter = fitted(contract, options.env, options.steps, address)
        check_affordable(contract, address, options.max_contract_bytes, as_vector=False)
        self.contract = contract

    def reopen(self, connection: Connection, address: str, timeout: float | None) -> None:
        """Reads the contract and checks that it is the same; see `Endpoint`."""
        check_unchanged(self.contract, address, self._read(connection, address, timeout))

    def prepare(self, call: session_pb2.OpenCall) -> None:
        """Names the model; see `Endpoint`."""
        call.model = self._options.model or ""

    def _read(self, connection: Connection, address: str, timeout: float | None) -> ModelContract:
        model = self._options.model
        answer = connection.contract(model_contract(model or ""), self.kind, timeout)
        return read_model_response(answer, address, model, self._options.max_contract_bytes)
