"""Failures as the command line shows them: one line, exit code 1."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Generator

import click

from rlmesh import foreign_text
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
    # A server's text, too: it must not steer the terminal.
    return foreign_text.one_line(" ".join(text.split()), foreign_text.LONGEST_TEXT)


def _complain(text: str) -> None:
    click.echo(text, err=True)


@contextlib.contextmanager
def failures_on_one_line(
    *, verbose: bool = False, exit_code: int = 1, complain: Callable[[str], None] = _complain
) -> Generator[None]:
    """Ends the command with one line when RLMesh or a load fails inside of this.

    Args:
        verbose: Whether to show the traceback too.
        exit_code: The exit code.
        complain: Writes a text on standard error.
    """
    try:
        yield
    except (RlmeshError, LoadError, OSError) as error:
        if verbose:
            complain(foreign_text.paragraphs("".join(traceback.format_exception(error)).rstrip()))
        complain(f"Error: {one_line(error)}")
        sys.exit(exit_code)
