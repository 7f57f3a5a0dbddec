"""The command `rlmesh`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping

import click

from rlmesh._version import __version__

_PLACES = {
    "compare": "rlmesh._cli.compare.compare",
    "contract": "rlmesh._cli.asking.contract",
    "contract diff": "rlmesh._cli.contract_diff.contract_diff",
    "demo": "rlmesh._cli.demo.demo",
    "evaluate": "rlmesh._cli.evaluate.evaluate",
    "export": "rlmesh._cli.export.export",
    "play": "rlmesh._cli.play.play",
    "record show": "rlmesh._cli.record_show.record_show",
    "replay": "rlmesh._cli.replay.replay",
    "serve": "rlmesh._cli.serve.serve",
    "serve-model": "rlmesh._cli.serve_model.serve_model",
    "status": "rlmesh._cli.asking.status",
    "top": "rlmesh._cli.top.top",
    "typegen": "rlmesh._cli.typegen.typegen",
    "view": "rlmesh._cli.view.view",
    "wait": "rlmesh._cli.asking.wait",
}


class _Commands(MutableMapping[str, click.Command]):
    """Commands by name, imported when they are asked for: one does without what another needs."""

    def __init__(self) -> None:
        self._commands: dict[str, click.Command | str] = {**_PLACES}

    def __getitem__(self, name: str) -> click.Command:
        found = self._commands[name]
        if isinstance(found, str):
            module, _, attribute = found.rpartition(".")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            self._commands[name] = found = command
        return found

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


class _Group(click.Group):
    """Commands of one word or two."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first words name, and what follows them."""
        both = " ".join(args[:2])
        if len(args) > 1 and both in self.commands:
            return both, self.commands[both], args[2:]
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Group, commands=_Commands(), context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="rlmesh")
def main() -> None:
    """Serve a Gymnasium environment or a model, and ask a served one what it is and does.

    Colours appear on a terminal only; NO_COLOR turns them off there too.
    """
