"""Contracts: read from an environment or a model, kept in files, and compared with each other.

reading            reads an environment and writes its contract
model_reading      reads a model and writes its contract
fitting            whether a model fits an environment
carrying           refuses a contract whose values no message can hold
joint              the spaces of many agents as one
cost               counts what the spaces of a contract take, before any is made
files              reads contracts from files
description        a contract in words, for a person
html               a contract as a notebook shows it
comparison         in what a contract differs from an older one
space_comparison   in what two spaces differ, and whether that breaks a client
differences        one such difference
"""

from __future__ import annotations

from rlmesh.contract.carrying import received_contract, received_model_contract
from rlmesh.contract.comparison import compare_contracts
from rlmesh.contract.cost import cost_of, message_cost, why_too_costly
from rlmesh.contract.description import describe_contract, describe_spaces
from rlmesh.contract.differences import ContractDifference
from rlmesh.contract.files import load_contract, load_model_contract
from rlmesh.contract.fitting import compare_model_with_env
from rlmesh.contract.html import contract_html
from rlmesh.contract.model_reading import read_model_contract
from rlmesh.contract.reading import autoreset_mode_from, is_vector, read_contract
from rlmesh_api.contract import AutoresetMode, EnvContract, EnvSpec, ModelContract

__all__ = [
    "AutoresetMode",
    "ContractDifference",
    "EnvContract",
    "EnvSpec",
    "ModelContract",
    "autoreset_mode_from",
    "compare_contracts",
    "compare_model_with_env",
    "contract_html",
    "cost_of",
    "describe_contract",
    "describe_spaces",
    "is_vector",
    "load_contract",
    "load_model_contract",
    "message_cost",
    "read_contract",
    "read_model_contract",
    "received_contract",
    "received_model_contract",
    "why_too_costly",
]
