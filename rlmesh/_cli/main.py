"""The command `rlmesh`."""

from __future__ import annotations

import click

from rlmesh._cli.asking import contract, status, wait
from rlmesh._cli.compare import compare
from rlmesh._cli.contract_diff import contract_diff
from rlmesh._cli.demo import demo
from rlmesh._cli.evaluate import evaluate
from rlmesh._cli.export import export
from rlmesh._cli.play import play
from rlmesh._cli.record_show import record_show
from rlmesh._cli.replay import replay
from rlmesh._cli.serve import serve
from rlmesh._cli.serve_model import serve_model
from rlmesh._cli.top import top
from rlmesh._cli.typegen import typegen
from rlmesh._cli.view import view
from rlmesh._version import __version__


class _Commands(click.Group):
    """Commands of one word or two."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first words name, and what follows them."""
        both = " ".join(args[:2])
        if len(args) > 1 and both in self.commands:
            return both, self.commands[both], args[2:]
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rlmesh")
def main() -> None:
    """Serve a Gymnasium environment or a model, and ask a served one what it is and does.

    Colours appear on a terminal only; NO_COLOR turns them off there too.
    """


for command in (
    serve,
    serve_model,
    wait,
    status,
    top,
    view,
    play,
    contract,
    contract_diff,
    typegen,
    evaluate,
    compare,
    record_show,
    replay,
    export,
    demo,
):
    main.add_command(command)
