"""Contracts in files."""

from __future__ import annotations

import os
from pathlib import Path

from rlmesh.errors import InvalidArgumentError
from rlmesh_api.contract import EnvContract

__all__ = ["load_contract"]


def load_contract(path: str | os.PathLike[str]) -> EnvContract:
    """Reads the contract that a file holds, as `EnvContract.to_json` writes it.

    Args:
        path: The file's path.

    Raises:
        InvalidArgumentError: If the file cannot be read, or holds no contract; the message names
            the place in it and what is expected there.
    """
    try:
        return EnvContract.from_json(Path(path).read_bytes())
    except OSError as error:
        raise InvalidArgumentError(
            f"the contract file {os.fspath(path)} cannot be read: {error.strerror}"
        ) from error
    except ValueError as error:
        raise InvalidArgumentError(f"{os.fspath(path)} holds no contract: {error}") from error
