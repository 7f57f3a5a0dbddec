"""Contracts, as a client receives them and as files hold them."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Generator

from google.protobuf.message import DecodeError

from fuzz import golden
from fuzz.messages import message_mutator
from fuzz.target import Feed, Target, expect
from fuzz.trees import mutate_json
from rlmesh.client.local_spec import local_metadata, local_spec
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.codec.step.result import compile_step_result
from rlmesh.contract import EnvContract, compare_contracts, cost_of, received_contract
from rlmesh.spaces import to_gymnasium_space
from rlmesh.spaces.batching import batched_gymnasium_space
from rlmesh.typegen import render_module
from rlmesh_api.v1 import contract_pb2

# What the spaces of a contract may take here: the `max_contract_bytes` of a client.
_MOST_BYTES = 8 << 20


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    def feed(data: bytes) -> None:
        try:
            message = contract_pb2.EnvContract.FromString(data)
        except DecodeError:
            return
        # A comparison takes every contract, a client only one that an environment can have.
        try:
            contract = EnvContract.from_proto(message)
        except ValueError:
            return
        _check(contract)
        try:
            contract = received_contract(message)
        except ValueError:
            return
        _live(contract)

    yield feed


@contextlib.contextmanager
def _opened_texts() -> Generator[Feed]:
    def feed(data: bytes) -> None:
        try:
            contract = EnvContract.from_json(data)
        except ValueError:
            return
        _check(contract)

    yield feed


def _check(contract: EnvContract) -> None:
    """What is done with a contract that was read."""
    text = contract.to_json()
    again = EnvContract.from_json(text)
    expect(again.to_json() == text, "a contract is another one in print")
    expect(again.fingerprint == contract.fingerprint, "equal contracts have different fingerprints")
    expect(not compare_contracts(contract, again), "a contract differs from itself")
    with contextlib.suppress(ValueError):  # nested too deeply to be sent
        sent = contract.to_proto().SerializeToString()
        received = EnvContract.from_proto(contract_pb2.EnvContract.FromString(sent))
        expect(received.to_json() == text, "a contract is another one on the wire")
    if contract.agents is None:  # typegen writes no types for many agents
        ast.parse(render_module(contract))


def _live(contract: EnvContract) -> None:
    """What a client does with a contract that it received."""
    num_envs = contract.num_envs if contract.vector else None
    compile_step_result(num_envs)
    spaces = (contract.observation_space, contract.action_space)
    for space in spaces:
        compile_layout(space, num_envs)
    if cost_of(contract, as_vector=contract.vector) > _MOST_BYTES:
        return
    for space, batched in zip(
        spaces, (contract.batched_observation_space, contract.batched_action_space), strict=True
    ):
        to_gymnasium_space(space)
        if batched is not None:
            to_gymnasium_space(batched)
        elif num_envs is not None:
            batched_gymnasium_space(space, num_envs)
    local_metadata(contract)
    local_spec(contract)


CONTRACTS = Target(
    "contracts",
    "contracts, as a client receives them",
    _opened,
    golden.contract_messages,
    message_mutator(contract_pb2.EnvContract),
    short_runs=2000,
)
CONTRACT_TEXTS = Target(
    "contract_texts",
    "contracts, as files hold them",
    _opened_texts,
    golden.contract_texts,
    mutate_json,
    short_runs=2000,
)
