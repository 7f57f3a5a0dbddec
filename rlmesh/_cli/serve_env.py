"""`python -m rlmesh._cli.serve_env --env CartPole-v1 --address tcp://127.0.0.1:0 --ready-fd 3`.

What supervisors start: the options of `rlmesh serve`, with the environment as an option too.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    # As in `python -m rlmesh`: no walk of the garbage collector through what is imported.
    gc.disable()

from collections.abc import Sequence
from typing import Any, NoReturn

import click

from rlmesh._cli.options import LOADING_OPTIONS, with_options
from rlmesh._cli.readiness import write_ready_fd
from rlmesh._cli.serve import SERVE_HELP, SERVING_OPTIONS, run_serve

__all__ = ["main", "write_ready_fd"]


@click.command(help=SERVE_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--env", metavar="ENV", required=True, help="What to serve, as said above.")
@with_options(*LOADING_OPTIONS, *SERVING_OPTIONS)
def _command(**values: Any) -> None:
    """The command `python -m rlmesh._cli.serve_env`."""
    run_serve(**values)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command and ends the process with its exit code.

    Args:
        arguments: What stands on the command line after the program; None: this process's own.

    Raises:
        SystemExit: Always; 0 when the server was ended and the environment closed, 1 when the
            environment could not be made or served, 2 for wrong usage.
    """
    _command.main(arguments)


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    main()
