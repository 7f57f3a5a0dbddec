"""The command `typegen`: a module with the types of one environment or model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rlmesh._cli.asking import credential_options, model_option, timeout_option
from rlmesh._cli.contract_source import contract_source, read_source
from rlmesh._cli.failure import LoadError, failures_on_one_line
from rlmesh._cli.options import with_options
from rlmesh.typegen import render_module

_STDOUT = Path("-")


@click.command(short_help="Write a module with the types of an environment or model.")
@click.argument("source", metavar="SOURCE", callback=contract_source)
@with_options(
    click.option(
        "--output",
        "-o",
        metavar="FILE",
        type=click.Path(path_type=Path),
        required=True,
        help="The module to write; - for standard output.",
    ),
    click.option(
        "--class-name",
        metavar="NAME",
        help="What the client's class is called; by default after the contract's id.",
    ),
    click.option("--force", is_flag=True, help="Overwrite the file if there is one."),
    model_option,
    timeout_option,
    *credential_options,
)
def typegen(
    *,
    source: str | Path,
    output: Path,
    class_name: str | None,
    model: str | None,
    force: bool,
    timeout: float,
    **given: Any,
) -> None:
    """Write a Python module for what is served at SOURCE: its types, and a client that has them.

    SOURCE is the address of an environment or a model, or a file that holds what `rlmesh contract
    --json` printed and whose name ends in .json. The module depends on the contract alone.

    Exit codes: 0, 1 when the contract cannot be read or the file cannot be written, 2 for wrong
    usage.
    """
    with failures_on_one_line():
        text = render_module(read_source(source, timeout, model, **given), class_name)
        if output == _STDOUT:
            click.echo(text, nl=False)
        else:
            _write(output, text, force=force)


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise LoadError(f"{output} exists; overwrite it with --force, or name another") from error
    except OSError as error:
        raise LoadError(f"{output} cannot be written: {error.strerror}") from error
