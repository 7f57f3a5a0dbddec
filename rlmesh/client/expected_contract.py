"""The contract that a client expects of its endpoint."""

from __future__ import annotations

import os
from typing import Any, TypeGuard

from rlmesh.contract import EnvContract, compare_contracts, load_contract
from rlmesh.errors import ArgumentTypeError, ContractMismatchError

_SHOWN = 3


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


def check_expected(expected: EnvContract | None, address: str, contract: EnvContract) -> None:
    """Checks that a contract breaks nothing that was written or trained for the expected one.

    Raises:
        ContractMismatchError: If it does.
    """
    differences = () if expected is None else compare_contracts(expected, contract)
    breaking = [difference for difference in differences if difference.breaking]
    if not breaking:
        return
    more = f" and {len(breaking) - _SHOWN} more" if len(breaking) > _SHOWN else ""
    raise ContractMismatchError(
        f"{contract.id} at {address} is not what is expected: "
        f"{'; '.join(map(str, breaking[:_SHOWN]))}{more}. Serve what is expected, or adapt to what "
        f"is served; `rlmesh contract diff` tells all differences",
        differences=differences,
    )


def _is_path(value: object) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(value, str | os.PathLike)
