"""Tokens and certificates on the command line: in files, and never among the arguments."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import rlmesh
from rlmesh._cli.main import main
from support.certificates import Certificates, make_certificates
from support.processes import SERVE_ENV, run, served
from support.sample_envs import ScriptedEnv
from support.serving import serving

SECRET = "correct-horse-battery-staple"
COUNTER = "support.cli_envs:Counter"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    return str(path)


def invoke(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, arguments, env=variables)


@contextlib.contextmanager
def guarded(certificates: Certificates) -> Generator[str]:
    """A server with all there is."""
    tls = certificates.server(mutual=True)
    with serving(ScriptedEnv(), token=SECRET, tls=tls) as server:
        yield server.address


def client_options(certificates: Certificates) -> list[str]:
    return [
        f"--tls-ca={certificates.path('ca.pem')}",
        f"--tls-cert={certificates.path('client.pem')}",
        f"--tls-key={certificates.path('client.key')}",
    ]


def test_a_server_is_guarded_by_its_options(certificates: Certificates, token_file: str) -> None:
    options = [
        f"--token-file={token_file}",
        f"--tls-cert={certificates.path('server.pem')}",
        f"--tls-key={certificates.path('server.key')}",
        f"--tls-client-ca={certificates.path('ca.pem')}",
        "--direct=127.0.0.1:0",
    ]
    with served("--env", COUNTER, *options, program=SERVE_ENV) as (_, address):
        tls = certificates.client("client")
        for transport in ("shm", "direct", "grpc"):
            with rlmesh.RemoteEnv[Any, Any](
                address, token=SECRET, tls=tls, transport=transport
            ) as env:
                env.reset(seed=0)
                assert env.transport == transport
        with pytest.raises(rlmesh.errors.AuthenticationError):
            rlmesh.RemoteEnv(address, tls=tls)
        # What every user of this machine may read.
        lines = Path("/proc").glob("[0-9]*/cmdline")
        assert not any(SECRET.encode() in _read(line) for line in lines)
        for command in ("status", "contract"):
            shown = [f"--token-file={token_file}", *client_options(certificates)]
            assert invoke(command, address, *shown).exit_code == 0
        assert invoke("wait", address, *client_options(certificates)).exit_code == 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        # The process has ended meanwhile.
        return b""


@pytest.mark.parametrize("command", ["status", "contract"])
def test_without_the_token_a_server_tells_nothing(command: str, certificates: Certificates) -> None:
    with guarded(certificates) as address:
        result = invoke(command, address, *client_options(certificates))
    assert result.exit_code == 1
    assert "--token-file" in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["status", "contract"])
def test_the_token_may_come_from_the_environment(command: str, certificates: Certificates) -> None:
    with guarded(certificates) as address:
        result = invoke(command, address, *client_options(certificates), RLMESH_TOKEN=SECRET)
    assert result.exit_code == 0


@pytest.mark.parametrize("command", ["status", "contract", "wait"])
def test_a_certificate_that_does_not_fit_is_one_line(
    command: str, certificates: Certificates
) -> None:
    with guarded(certificates) as address:
        result = invoke(command, address, f"--tls-ca={certificates.path('other-ca.pem')}")
    assert result.exit_code == 1
    assert "--tls-ca" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_name_in_the_certificate_may_be_said(certificates: Certificates) -> None:
    certificates.issue("server", "env.example.org")
    with serving(ScriptedEnv(), tls=certificates.server()) as server:
        options = [server.address, f"--tls-ca={certificates.path('ca.pem')}"]
        assert invoke("wait", *options).exit_code == 1
        assert invoke("wait", *options, "--tls-server-name=env.example.org").exit_code == 0


def test_the_authorities_of_this_machine_are_asked_for_with_tls(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(ScriptedEnv(), tls=certificates.server()) as server:
        monkeypatch.setenv("SSL_CERT_FILE", certificates.path("ca.pem"))
        assert invoke("wait", server.address, "--tls").exit_code == 0


@pytest.mark.parametrize("command", ["status", "contract"])
def test_a_token_is_shown_to_a_network_only_where_it_is_meant(
    command: str, token_file: str
) -> None:
    asked = [command, "192.0.2.1:9", f"--token-file={token_file}", "--timeout=0.2"]
    refused = invoke(*asked)
    assert refused.exit_code == 1
    assert "in plaintext" in refused.stderr
    assert "no server answers" in invoke(*asked, "--insecure").stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "empty"), ("\n", "empty"), ("two words", "not that"), ("schlüssel", "not that")],
)
def test_a_file_without_a_token_is_wrong_usage_and_not_shown(
    text: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    for command in (["serve", COUNTER], ["status", "1"], ["contract", "1"], ["demo"]):
        result = invoke(*command, f"--token-file={path}")
        assert result.exit_code == 2
        assert told in result.stderr
        assert not text.strip() or text not in result.stderr


def test_a_token_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    result = invoke("serve", COUNTER, f"--token-file={tmp_path}/none")
    assert result.exit_code == 2
    assert "cannot be read: No such file" in result.stderr


def test_no_command_takes_a_token_as_an_argument() -> None:
    taking = [
        (name, option)
        for name, command in main.commands.items()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if "token" in option
    ]
    assert {option for _, option in taking} == {"--token-file"}
    assert {name for name, _ in taking} == {
        "serve",
        "serve-model",
        "status",
        "top",
        "view",
        "play",
        "contract",
        "contract diff",
        "typegen",
        "demo",
        "evaluate",
        "replay",
    }


@pytest.mark.parametrize(
    "options",
    [["--tls-cert=c.pem"], ["--tls-key=c.key"], ["--tls-client-ca=ca.pem"]],
)
def test_a_server_needs_both_files(options: list[str]) -> None:
    for command in (["serve", COUNTER], ["demo"]):
        if command == ["demo"] and "client-ca" in options[0]:
            continue
        result = invoke(*command, *options)
        assert result.exit_code == 2
        assert "--tls-cert and --tls-key" in result.stderr


@pytest.mark.parametrize("option", ["--tls-cert=c.pem", "--tls-key=c.key"])
@pytest.mark.parametrize("command", ["status", "contract", "wait"])
def test_a_client_needs_both_files(command: str, option: str) -> None:
    result = invoke(command, "1", option)
    assert result.exit_code == 2
    assert "--tls-cert and --tls-key" in result.stderr


@pytest.mark.parametrize("option", ["--address", "--direct"])
def test_a_public_address_is_refused_unless_somebody_guards_it(
    option: str, certificates: Certificates
) -> None:
    result = invoke("serve", COUNTER, option, "0.0.0.0:0")
    assert result.exit_code == 2
    for remedy in ("--token-file", "--tls-cert", "--insecure"):
        assert remedy in result.stderr


def test_a_certificate_that_cannot_be_used_ends_the_command(certificates: Certificates) -> None:
    done = run(
        "--env",
        COUNTER,
        f"--tls-cert={certificates.path('client.pem')}",
        f"--tls-key={certificates.path('server.key')}",
        program=SERVE_ENV,
    )
    assert done.code == 1
    assert "does not fit" in done.err


def test_a_demo_shows_what_it_is_given(certificates: Certificates, token_file: str) -> None:
    done = run(
        "demo",
        "--env",
        COUNTER,
        "--episodes=1",
        "--max-steps=20",
        "--transport=direct",
        f"--token-file={token_file}",
        f"--tls-cert={certificates.path('server.pem')}",
        f"--tls-key={certificates.path('server.key')}",
    )
    assert done.code == 0, done.err
    assert "direct" in done.out
    assert SECRET not in done.out + done.err
