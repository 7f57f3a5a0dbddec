"""Which contracts can be lived up to: whose values fit into messages, and which make sense."""

from __future__ import annotations

from rlmesh.codec.slab.leaves import arrange
from rlmesh.contract.joint import why_not_joint
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.spaces.batching import is_batched
from rlmesh_api.contract import EnvContract, ModelContract, Space
from rlmesh_api.v1 import contract_pb2

__all__ = [
    "received_contract",
    "received_model_contract",
    "why_model_too_large",
    "why_too_large",
]

_LONGEST_STEP = 80
_NUMBERS = 10  # a reward and two flags
_AROUND = 1 << 10  # what stands around the slab of a prediction


def received_contract(message: contract_pb2.EnvContract) -> EnvContract:
    """The contract that a server sends.

    Raises:
        ValueError: If the message is none, or if no environment can have it. What a client makes of
            a contract takes as much memory as the values do that it speaks of.
    """
    contract = EnvContract.from_proto(message)
    if contract.num_envs < 1 or (contract.num_envs > 1 and not contract.vector):
        least = "1 or more for a vector" if contract.vector else "1 for a single"
        raise ValueError(f"$.num_envs: expected {least} environment, got {contract.num_envs}")
    _check_batched(contract, "observation_space", contract.batched_observation_space)
    _check_batched(contract, "action_space", contract.batched_action_space)
    reason = why_not_joint(contract) or why_too_large(contract)
    if reason is not None:
        raise ValueError(reason)
    return contract


def received_model_contract(message: contract_pb2.ModelContract) -> ModelContract:
    """The contract of a model that a server sends.

    Raises:
        ValueError: If the message is none, if no model can have it, or if it has a step that this
            version does not know; the message names it.
    """
    for index, step in enumerate(message.adaptation.steps):
        if step.operation.WhichOneof("kind") is None:
            raise ValueError(
                f"$.adaptation.steps[{index}]: this version of RLMesh does not know the step "
                f"{step.name[:_LONGEST_STEP]!r}; upgrade RLMesh, or have the model declare other "
                f"steps"
            )
    contract = ModelContract.from_proto(message)
    reason = _wrong_number("horizon", contract.horizon) or (
        contract.max_batch_size is not None
        and _wrong_number("max_batch_size", contract.max_batch_size)
    )
    reason = reason or why_model_too_large(contract)
    if reason:
        raise ValueError(reason)
    return contract


def why_model_too_large(contract: ModelContract) -> str | None:
    """Why no message holds an observation or a chunk of the model; None where one does."""
    for name, count in (("observation_space", None), ("action_space", contract.horizon)):
        leaves = arrange(getattr(contract, name), count)
        size = leaves[-1].end if leaves else 0
        if size > MAX_MESSAGE_BYTES - _AROUND:
            return (
                f"$.{name}: expected a space whose values have at most "
                f"{MAX_MESSAGE_BYTES - _AROUND} bytes, which a message holds, got {size}; serve "
                f"smaller values, or a shorter horizon"
            )
    return None


def _wrong_number(name: str, number: int) -> str | None:
    return None if number >= 1 else f"$.{name}: expected 1 or more, got {number}"


def why_too_large(contract: EnvContract) -> str | None:
    """Why no message holds a value of the contract; None where one does."""
    num_envs = contract.num_envs if contract.vector else None
    for name in ("observation_space", "action_space"):
        leaves = arrange(getattr(contract, name), num_envs)
        size = (leaves[-1].end if leaves else 0) + _NUMBERS * contract.num_envs
        if size > MAX_MESSAGE_BYTES:
            return (
                f"$.{name}: expected a space whose values have at most {MAX_MESSAGE_BYTES} "
                f"bytes, which a message holds, got {size}; serve smaller values, or fewer "
                f"sub-environments"
            )
    return None


def _check_batched(contract: EnvContract, name: str, batched: Space | None) -> None:
    single = getattr(contract, name)
    if batched is not None and not is_batched(batched, single, contract.num_envs):
        raise ValueError(
            f"$.batched_{name}: expected {contract.num_envs} sub-environments of {single}, got "
            f"{batched}"
        )
