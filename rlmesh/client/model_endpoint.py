"""A model as the endpoint of a client's session."""

from __future__ import annotations

from dataclasses import dataclass

from rlmesh.adapters.adapter import Adapter
from rlmesh.adapters.placement import place
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
from rlmesh.errors import ContractMismatchError
from rlmesh_api.contract import AdapterStep, Space
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
        contract: The model's contract, once `open` has read it, as the following.
        adapter: What stands between the environment and the model; None where nothing does.
        applied: The part of it that the client applies; None where there is none.
        observation_space: The space of the observations that the client sends.
        action_space: The space of the actions that it is sent.
    """

    kind = MODEL
    head = RESULT_HEAD
    contract: ModelContract
    observation_space: Space
    action_space: Space

    def __init__(self, options: ModelConnectOptions) -> None:
        self._options = options
        self.adapter: Adapter | None = None
        self.applied: Adapter | None = None
        # What the worker applies in this session.
        self._adaptation: session_pb2.SessionAdaptation | None = None

    def open(self, connection: Connection, address: str, timeout: float | None) -> None:
        """Reads the contract and checks it; see `Endpoint`."""
        contract, names = self._read(connection, address, timeout)
        options = self._options
        check_expected(options.expected, address, contract)
        if options.env is not None:
            self.adapter = self.applied = fitted(contract, options.env, options.steps, address)
        check_affordable(contract, address, options.max_contract_bytes, as_vector=False)
        self.contract = contract
        self.observation_space = contract.observation_space
        self.action_space = contract.action_space
        placed = None if self.adapter is None else place(self.adapter, names)
        if placed is not None:
            self.applied, beside = placed
            self.observation_space = beside.env_observation_space
            self.action_space = beside.env_action_space
            self._adaptation = session_pb2.SessionAdaptation(
                observation_space=self.observation_space.to_proto(),
                action_space=self.action_space.to_proto(),
                adaptation=beside.adaptation.to_proto(),
            )

    def reopen(self, connection: Connection, address: str, timeout: float | None) -> None:
        """Reads the contract and checks that it is the same; see `Endpoint`."""
        contract, names = self._read(connection, address, timeout)
        check_unchanged(self.contract, address, contract)
        if self._adaptation is not None:
            steps = self._adaptation.adaptation.steps
            missing = sorted({each.name for each in steps} - names)
            if missing:
                raise ContractMismatchError(
                    f"the worker at {address} applies the steps {', '.join(missing)} no more, and "
                    f"this client has left them to it. Make a new client"
                )

    def prepare(self, call: session_pb2.OpenCall) -> None:
        """Names the model, and the steps that its worker applies; see `Endpoint`."""
        call.model = self._options.model or ""
        if self._adaptation is not None:
            call.adaptation.CopyFrom(self._adaptation)

    def _read(
        self, connection: Connection, address: str, timeout: float | None
    ) -> tuple[ModelContract, frozenset[str]]:
        """The contract, and the names of the steps that the worker applies."""
        model = self._options.model
        answer = connection.contract(model_contract(model or ""), self.kind, timeout)
        contract = read_model_response(answer, address, model, self._options.max_contract_bytes)
        return contract, frozenset(answer.adapter_steps)
