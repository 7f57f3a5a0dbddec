"""Contracts: read from an environment, kept in files, and compared with each other."""

from __future__ import annotations

from rlmesh.contract.carrying import received_contract
from rlmesh.contract.comparison import compare_contracts
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
    "is_vector",
    "load_contract",
    "read_contract",
    "received_contract",
]
