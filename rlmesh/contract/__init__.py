"""Contracts: read from an environment, kept in files, and compared with each other.

reading            reads an environment and writes its contract
carrying           refuses a contract whose values no message can hold
cost               counts what the spaces of a contract take, before any is made
files              reads contracts from files
comparison         in what a contract differs from an older one
space_comparison   in what two spaces differ, and whether that breaks a client
differences        one such difference
"""

from __future__ import annotations

from rlmesh.contract.carrying import received_contract
from rlmesh.contract.comparison import compare_contracts
from rlmesh.contract.cost import cost_of, message_cost, why_too_costly
from rlmesh.contract.differences import ContractDifference
from rlmesh.contract.files import load_contract
from rlmesh.contract.reading import autoreset_mode_from, is_vector, read_contract
from rlmesh_api.contract import AutoresetMode, EnvContract, EnvSpec

__all__ = [
    "AutoresetMode",
    "ContractDifference",
    "EnvContract",
    "EnvSpec",
    "autoreset_mode_from",
    "compare_contracts",
    "cost_of",
    "is_vector",
    "load_contract",
    "message_cost",
    "read_contract",
    "received_contract",
    "why_too_costly",
]
