"""Where a contract comes from: a served environment, or a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from rlmesh._cli import arguments
from rlmesh._cli.asking import credentials_of
from rlmesh.client.probing import fetch_contract
from rlmesh.contract import EnvContract, ModelContract, load_contract, load_model_contract
from rlmesh.errors import InvalidArgumentError

FILE_ENDING = ".json"


def contract_source(ctx: click.Context, param: click.Parameter, value: str) -> str | Path:
    """A path where the name is a contract file's, else an endpoint's address."""
    if value.endswith(FILE_ENDING):
        return Path(value)
    try:
        return arguments.endpoint_address(ctx, param, value)
    except click.BadParameter as error:
        raise click.BadParameter(
            f"{error.message}, or a file whose name ends in {FILE_ENDING}", ctx=ctx, param=param
        ) from error


def read_source(
    source: str | Path, timeout: float | None, model: str | None, **credentials: Any
) -> EnvContract | ModelContract:
    """The contract of a file, or of what is served at an address.

    Args:
        source: The file's path, or the address.
        timeout: Seconds until the server must have answered.
        model: The name of the model, where a server has several.
        **credentials: What to come in with.

    Raises:
        InvalidArgumentError: If the file cannot be read, or holds no contract.
        EndpointUnreachableError: If no server answers at the address in time.
    """
    if isinstance(source, os.PathLike):
        return _of_file(source)
    return fetch_contract(source, timeout, credentials_of(**credentials), model=model)[0]


def _of_file(path: Path) -> EnvContract | ModelContract:
    try:
        return load_contract(path)
    except InvalidArgumentError:
        try:
            return load_model_contract(path)
        except InvalidArgumentError:
            pass
        # What is wrong with it as the contract of an environment, as most are.
        raise
