"""Contracts in files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rlmesh.errors import InvalidArgumentError
from rlmesh_api.contract import EnvContract, ModelContract

__all__ = ["load_contract", "load_model_contract"]

Contract = TypeVar("Contract")


def load_contract(path: str | os.PathLike[str]) -> EnvContract:
    """Reads the contract that a file holds, as `EnvContract.to_json` writes it.

    Args:
        path: The file's path.

    Raises:
        InvalidArgumentError: If the file cannot be read, or holds no contract; the message names
            the place in it and what is expected there.
    """
    return _load(path, EnvContract.from_json)


def load_model_contract(path: str | os.PathLike[str]) -> ModelContract:
    """Reads the contract of a model that a file holds, as `ModelContract.to_json` writes it.

    Arguments and errors are those of `load_contract`.
    """
    return _load(path, ModelContract.from_json)


def _load(path: str | os.PathLike[str], read: Callable[[bytes], Contract]) -> Contract:
    try:
        return read(Path(path).read_bytes())
    except OSError as error:
        raise InvalidArgumentError(
            f"the contract file {os.fspath(path)} cannot be read: {error.strerror}"
        ) from error
    except ValueError as error:
        raise InvalidArgumentError(f"{os.fspath(path)} holds no contract: {error}") from error
