"""Failures as the command line shows them: one line, exit code 1."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Generator

import click

from rlmesh.errors import RemoteEnvError, RlmeshError


class LoadError(Exception):
    """The environment could not be made, or a file not written; the cause says why."""


def one_line(error: BaseException) -> str:
    """An error's message on one line."""
    if isinstance(error, RemoteEnvError) and error.exception_type.endswith(LoadError.__name__):
        # It was loaded in a worker process.
        text = error.exception_message
    elif isinstance(error, RemoteEnvError) and error.exception_type:
        text = f"the environment raised {error.exception_type}: {error.exception_message}"
    else:
        text = str(error)
    return " ".join(text.split())


@contextlib.contextmanager
def failures_on_one_line(*, verbose: bool = False, exit_code: int = 1) -> Generator[None]:
    """Ends the command with one line when RLMesh or a load fails inside of this.

    Args:
        verbose: Whether to show the traceback too.
        exit_code: The exit code.
    """
    try:
        yield
    except (RlmeshError, LoadError, OSError) as error:
        if verbose:
            traceback.print_exception(error)
        click.ClickException(one_line(error)).show()
        sys.exit(exit_code)
