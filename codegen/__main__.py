"""The command line of the generator."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from codegen.errors import SourceError
from codegen.generate import LEGACY, Tree, generate, generate_legacy
from codegen.stability import gate
from codegen.tree import Differences, compare, diff, write

_ROOT = Path(__file__).resolve().parents[1]


@click.command(name="python -m codegen")
@click.option("--check", is_flag=True, help="Write nothing; fail when a file would change.")
@click.option("--stability", is_flag=True, help="Write nothing; fail when a promise is broken.")
@click.option("--baseline", is_flag=True, help="Freeze what users see as it is, under baseline/.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=_ROOT,
    show_default="this repository",
    help="The folder that holds schema/, api_metadata.json and generated/.",
)
def main(*, check: bool, stability: bool, baseline: bool, root: Path) -> None:
    """Write generated/ from schema/ and api_metadata.json.

    It fails with one line for each problem where the sources are damaged or disagree, and, with
    --check, for each file in generated/ that is stale, missing or surplus.
    CONTRIBUTING.md says what --stability and --baseline are for.
    """
    if check + stability + baseline > 1:
        raise click.UsageError("give one of --check, --stability and --baseline")
    if stability or baseline:
        _tell(gate.freeze(root) if baseline else gate.check(root))
        return
    try:
        trees = {"generated": generate(root), LEGACY: generate_legacy(root)}
    except SourceError as error:
        _tell(error.problems)
        return
    found = [
        _checked(tree, root, name) if check else _written(tree, root, name)
        for name, tree in trees.items()
    ]
    if check and any(found):
        click.echo("Run `python -m codegen`, and commit what it writes.", err=True)
        sys.exit(1)


def _written(tree: Tree, root: Path, name: str) -> bool:
    changed = write(tree, root / name)
    _report(changed, name, ("wrote", "wrote", "removed"))
    click.echo(f"{name}/ holds {len(tree)} files, as the sources give them.")
    return bool(changed)


def _checked(tree: Tree, root: Path, name: str) -> bool:
    """Whether a folder differs from its tree."""
    differences = compare(tree, root / name)
    _report(differences, name, ("stale", "missing", "surplus"))
    for path in differences.stale:
        click.echo("\n".join(diff(tree, root / name, path)))
    return bool(differences)


def _tell(problems: Sequence[str]) -> None:
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        sys.exit(1)


def _report(differences: Differences, folder: str, words: tuple[str, str, str]) -> None:
    groups = (differences.stale, differences.missing, differences.surplus)
    for word, paths in zip(words, groups, strict=True):
        for path in paths:
            click.echo(f"{word}: {folder}/{path}")


if __name__ == "__main__":
    main()
