"""The contract of an endpoint: read from its answer, and compared with what a client expects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeGuard, TypeVar

from rlmesh.adapters.adapter import Adapter, adapt, line_of
from rlmesh.adapters.endpoints import read_steps, steps_of
from rlmesh.contract import (
    ContractDifference,
    EnvContract,
    ModelContract,
    compare_contracts,
    compare_model_with_env,
    cost_of,
    load_contract,
    load_model_contract,
    message_cost,
    read_contract,
    received_contract,
    received_model_contract,
    why_too_costly,
)
from rlmesh.errors import (
    ArgumentTypeError,
    ContractMismatchError,
    InvalidArgumentError,
    InvalidEnvError,
    ProtocolError,
)
from rlmesh.foreign_text import LONGEST_TEXT, one_line, paragraphs
from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh_api.contract import AdapterStep
from rlmesh_api.v1 import env_service_pb2, model_service_pb2

Contract = TypeVar("Contract", EnvContract, ModelContract)

# How many differences an error lists.
_SHOWN = 3
# How much of a name that a server sends is shown.
_LONGEST_NAME = 80


def read_expected(expect: Any, default: EnvContract | None) -> EnvContract | None:
    """The contract that a user expects.

    Args:
        expect: A contract, the path of a file with one, or None.
        default: What is expected where the user says nothing.

    Raises:
        ArgumentTypeError: If it is none of these.
        InvalidArgumentError: If the file cannot be read, or holds no contract.
    """
    if expect is None:
        return default
    if isinstance(expect, EnvContract):
        return expect
    if _is_path(expect):
        return load_contract(expect)
    raise ArgumentTypeError(
        f"expect must be an EnvContract, the path of a file with one, or None, got "
        f"{type(expect).__name__}"
    )


def check_expected(expected: Contract | None, address: str, contract: Contract) -> None:
    """Checks that a contract breaks nothing that was written or trained for the expected one.

    Raises:
        ContractMismatchError: If it does.
    """
    differences = () if expected is None else compare_contracts(expected, contract)
    breaking = tuple(difference for difference in differences if difference.breaking)
    if breaking:
        raise _mismatch(
            contract,
            address,
            "what is expected",
            breaking,
            "Serve what is expected, or adapt to what is served; `rlmesh contract diff` lists all "
            "differences",
            differences,
        )


def check_unchanged(before: Contract, address: str, contract: Contract) -> None:
    """Checks that an endpoint's contract is still the one that its client was made for.

    Raises:
        ContractMismatchError: If anything in it differs.
    """
    if contract != before:
        differences = compare_contracts(before, contract)
        raise _mismatch(
            contract,
            address,
            "what this client was connected to",
            differences,
            "Make a new client",
            differences,
        )


def read_response(
    response: env_service_pb2.GetContractResponse,
    address: str,
    max_bytes: int = MAX_CONTRACT_BYTES,
) -> EnvContract:
    """The contract in a server's answer.

    It is read, and no space is made of it: what it takes is bounded by its message.

    Args:
        response: The answer.
        address: The server's address.
        max_bytes: The memory that the contract may take.

    Raises:
        ProtocolError: If no environment can have it, if it is too large, or if a later version of
            RLMesh has written it.
    """
    _check_cost(message_cost(response.contract), max_bytes, address)
    try:
        return received_contract(response.contract)
    except ValueError as error:
        raise ProtocolError(
            f"the contract of {address} cannot be read: {one_line(str(error), LONGEST_TEXT)}. The "
            f"server is RLMesh {one_line(response.server.version)}; upgrade the older of the two"
        ) from error


def fitted(
    model: ModelContract,
    env: EnvContract,
    steps: tuple[AdapterStep, ...] | None,
    address: str,
) -> Adapter | None:
    """What brings an environment and a model together, after a check that nothing is left over.

    Args:
        model: The contract of the model.
        env: That of the environment.
        steps: The steps between them. None: those that the model's contract has.
        address: Where the model is served.

    Returns:
        What applies the steps; None where there are none.

    Raises:
        ContractMismatchError: If the model does not take what the environment gives, or the
            environment what the model gives, after the steps; the message lists every difference.
    """
    adapter, differences, after = None, compare_model_with_env(model, env), ""
    lines = [
        f"{each.place}: {each.aspect}: the environment has {each.old}, the model {each.new}"
        for each in differences
        if each.breaking
    ]
    remedy = "Serve a model for this environment, or an environment for this model"
    given = steps_of(model).steps if steps is None else steps
    if given:
        whose = "that the model brings" if steps is None else "given"
        after, lines = f" after the steps {whose}", []
        remedy = "Change the steps, or add what is missing"
        try:
            adapter = adapt(model, env, given)
        except ContractMismatchError as error:
            differences = error.differences
            lines = [line_of(each) for each in differences]
    if lines:
        listed = "".join(f"\n  {each}" for each in lines)
        raise ContractMismatchError(
            f"the model {one_line(model.id)} at {address} does not fit the environment "
            f"{one_line(env.id)}{after}:{paragraphs(listed)}\n{remedy}",
            differences=differences,
        )
    return adapter


def read_adapter_steps(steps: Any, env: EnvContract | None) -> tuple[AdapterStep, ...] | None:
    """The steps that a user gives, for an environment.

    Raises:
        ArgumentTypeError: If they are none.
        InvalidArgumentError: If there is no environment, or a step has another name than its
            operation.
    """
    if steps is None:
        return None
    found = read_steps(steps)
    if env is None:
        raise InvalidArgumentError(
            "steps= needs env=, the environment whose observations and actions they adapt"
        )
    return found


def read_expected_model(expect: Any, default: ModelContract | None) -> ModelContract | None:
    """The contract that a user expects of a model.

    Args:
        expect: A contract, the path of a file with one, or None.
        default: What is expected where the user says nothing.

    Raises:
        ArgumentTypeError: If it is none.
        InvalidArgumentError: If the file cannot be read, or holds no contract of a model.
    """
    if expect is None:
        return default
    if isinstance(expect, ModelContract):
        return expect
    if _is_path(expect):
        return load_model_contract(expect)
    raise ArgumentTypeError(
        f"expect must be a ModelContract, the path of a file with one, or None, got "
        f"{type(expect).__name__}"
    )


def read_env(env: Any) -> EnvContract | None:
    """The contract of the environment that a user gives, as itself or as a client of it.

    Raises:
        ArgumentTypeError: If it is neither.
        InvalidArgumentError: If the file cannot be read, or holds no contract of an environment.
    """
    if env is None or isinstance(env, EnvContract):
        return env
    if _is_path(env):
        return load_contract(env)
    contract = getattr(env, "env_contract", None)
    if isinstance(contract, EnvContract):
        return contract
    try:
        return read_contract(env)
    except InvalidEnvError as error:
        raise ArgumentTypeError(
            f"env must be a client of a served environment, an environment, an EnvContract or the "
            f"path of a file with one, got {type(env).__name__}"
        ) from error


def read_model_response(
    response: model_service_pb2.ModelServiceGetContractResponse,
    address: str,
    model: str | None,
    max_bytes: int = MAX_CONTRACT_BYTES,
) -> ModelContract:
    """The contract in the answer of a server of models.

    Args:
        response: The answer.
        address: The server's address.
        model: The name of the model that was asked for; None: the only one.
        max_bytes: The memory that the contract may take.

    Raises:
        InvalidArgumentError: If the server has no such model, or several.
        ProtocolError: If no model can have it, if it is too large, or if a later version of RLMesh
            has written it.
    """
    if not response.HasField("contract"):
        listed = ", ".join(one_line(repr(name), _LONGEST_NAME) for name in response.models)
        names = one_line(listed, LONGEST_TEXT)
        raise InvalidArgumentError(
            f"{address} serves the models {names}; say which one with model="
            if model is None
            else f"model={model!r}: {address} serves no such model; it serves {names}"
        )
    _check_cost(message_cost(response.contract), max_bytes, address)
    try:
        return received_model_contract(response.contract)
    except ValueError as error:
        raise ProtocolError(
            f"the contract of {address} cannot be read: {one_line(str(error), LONGEST_TEXT)}. The "
            f"server is RLMesh {one_line(response.server.version)}; upgrade the older of the two"
        ) from error


def check_affordable(
    contract: EnvContract | ModelContract, address: str, max_bytes: int, *, as_vector: bool
) -> None:
    """Checks that the spaces of a contract take no more memory than allowed.

    Args:
        contract: The contract.
        address: The server's address.
        max_bytes: How many bytes are allowed.
        as_vector: Whether the client makes batched spaces.

    Raises:
        ProtocolError: If they take more.
    """
    _check_cost(cost_of(contract, as_vector=as_vector), max_bytes, address)


def _check_cost(cost: int, max_bytes: int, address: str) -> None:
    reason = why_too_costly(cost, max_bytes)
    if reason is not None:
        raise ProtocolError(f"the contract of {address} is refused: {reason}")


def _mismatch(
    contract: EnvContract | ModelContract,
    address: str,
    wanted: str,
    shown: Sequence[ContractDifference],
    remedy: str,
    differences: tuple[ContractDifference, ...],
) -> ContractMismatchError:
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    text = "; ".join(map(str, shown[:_SHOWN])) or "their fields differ"
    text = one_line(text, LONGEST_TEXT)
    return ContractMismatchError(
        f"{one_line(contract.id)} at {address} is not {wanted}: {text}{more}. {remedy}",
        differences=differences,
    )


def _is_path(value: object) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(value, str | os.PathLike)
