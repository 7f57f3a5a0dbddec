"""Where a contract comes from: a served environment, or a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from rlmesh._cli import arguments
from rlmesh._cli.asking import credentials_of
from rlmesh.client.probing import fetch_contract
from rlmesh.contract import EnvContract, load_contract

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


def read_source(source: str | Path, timeout: float | None, **credentials: Any) -> EnvContract:
    """The contract of a file, or of the environment that is served at an address.

    Raises:
        InvalidArgumentError: If the file cannot be read, or holds no contract.
        EndpointUnreachableError: If no server answers at the address in time.
    """
    if isinstance(source, os.PathLike):
        return load_contract(source)
    return fetch_contract(source, timeout, credentials_of(**credentials))[0]
