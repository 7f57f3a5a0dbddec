"""The contract of an environment as it runs here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from rlmesh.contract import EnvContract, read_contract
from rlmesh.contract.reading import autoreset_mode_from


def contract_in_use(env: Any) -> EnvContract:
    """The contract of an environment or of a client, with the autoreset mode that it runs in.

    A client may have asked for another mode than that of the endpoint.

    Args:
        env: The environment.

    Raises:
        InvalidEnvError: If it is none.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
    """
    known = getattr(env, "env_contract", None)
    contract = known if isinstance(known, EnvContract) else read_contract(env)
    metadata: object = getattr(env, "metadata", None)
    if not contract.vector or not isinstance(metadata, Mapping):
        return contract
    mode = autoreset_mode_from(cast("Mapping[str, object]", metadata).get("autoreset_mode"))
    return contract if mode is None else replace(contract, autoreset_mode=mode)
