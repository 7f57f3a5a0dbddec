"""`rlmesh`: its version, its help, and what it takes to import."""

from __future__ import annotations

from dataclasses import fields
from importlib import metadata

import click
import pytest
from click.testing import CliRunner

import rlmesh
from rlmesh._cli import serve_env
from rlmesh._cli.main import main
from support.process import run_python
from support.processes import CONSOLE_SCRIPT, RLMESH, Program, run


@pytest.mark.parametrize("program", [RLMESH, CONSOLE_SCRIPT], ids=["module", "console-script"])
def test_the_version_is_told(program: Program) -> None:
    ended = run("--version", program=program)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"rlmesh, version {rlmesh.__version__}\n"


def test_the_console_script_is_the_same_command() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="rlmesh")
    assert script.load() is main


def test_the_help_names_every_command() -> None:
    shown = CliRunner().invoke(main, ["--help"]).stdout
    for command in ("serve", "wait", "status", "contract", "demo"):
        assert f"  {command} " in shown


def options(command: click.Command) -> dict[str, click.Parameter]:
    return {param.opts[0]: param for param in command.params if isinstance(param, click.Option)}


def test_serve_env_can_be_run_by_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        serve_env.main([])
    assert ended.value.code == 2
    assert "Missing option '--env'" in capsys.readouterr().err


def test_every_option_has_a_help() -> None:
    commands = [*main.commands.values(), serve_env._command]
    silent = [
        f"{command.name} {name}"
        for command in commands
        for name, option in options(command).items()
        if isinstance(option, click.Option) and not option.help
    ]
    assert not silent


def test_serve_env_takes_the_options_of_serve_and_the_environment() -> None:
    assert options(serve_env._command).keys() - {"--env"} == options(main.commands["serve"]).keys()
    assert "--env" in options(serve_env._command)


def test_every_serve_option_is_an_option() -> None:
    taken = options(main.commands["serve"])
    for field in fields(rlmesh.ServeOptions):
        assert f"--{field.name.replace('_', '-')}" in taken


def test_importing_rlmesh_imports_nothing_of_the_command_line() -> None:
    program = "import sys, rlmesh; print(sorted({'click', 'rich'} & set(sys.modules)))"
    assert run_python("-c", program).stdout == "[]\n"


def test_a_command_imports_what_it_needs_alone() -> None:
    program = """
import sys
from rlmesh._cli.main import main
for asked in ([], ["wait", "status", "contract"], main.commands):
    for name in asked:
        main.commands[name]
    print([name for name in ("rlmesh.client", "rlmesh.server", "gymnasium") if name in sys.modules])
"""
    found = run_python("-c", program)
    assert found.stdout.splitlines() == [
        "[]",
        "['rlmesh.client']",
        "['rlmesh.client', 'rlmesh.server']",
    ], found.stderr
