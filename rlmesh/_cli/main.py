"""The command `rlmesh`."""

from __future__ import annotations

import click

from rlmesh._cli.asking import contract, status, wait
from rlmesh._cli.demo import demo
from rlmesh._cli.serve import serve
from rlmesh._version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rlmesh")
def main() -> None:
    """Serve a Gymnasium environment, and ask a served one what it is and does.

    Colours appear on a terminal only; NO_COLOR turns them off there too.
    """


for command in (serve, wait, status, contract, demo):
    main.add_command(command)
