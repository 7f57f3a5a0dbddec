"""The code in Markdown pages: found, and played from top to bottom in a folder of its own.

What an author needs to know:

- `python`: runs in the test; the snippets of a page share their names, as in one session.
- `pycon`: a doctest, in that same session.
- `bash`: runs with `set -euo pipefail`. What it hands to `make` is only looked up, never made.
- `console`: what follows `$ ` is run like `bash`; what it prints must be the text below it.
- Any other language is left alone.

Where output varies, `...` stands for anything, as in a doctest. Ports 5550 to 5559 and paths below
/tmp/ are exchanged for free ports and for the page's own folder, so that pages run side by side.

A comment on the line above a snippet changes what happens to it:

    <!-- snippet: background -->       runs beside the rest of the page, which goes on once the
                                       addresses in it are served; SIGTERM ends it, with exit code 0
    <!-- snippet: skip, the reason --> is not run
"""

from __future__ import annotations

import contextlib
import doctest
import os
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from markdown_it import MarkdownIt
from typing_extensions import Self

from support.notes import add_note
from support.process import Background, background
from support.readiness import wait_until_serving
from support.repository import ROOT

Mode = Literal["run", "background", "skip"]

_MARK = re.compile(r"<!-- snippet: (?P<mode>[a-z]+)(?P<reason>, \S.*)? -->")
_ADDRESS = re.compile(r"(?:tcp://)?(127\.0\.0\.1:\d+|\[::1\]:\d+)|unix://(/[^\s\"']+)")
_CERTIFICATE = re.compile(r"--tls-cert (\S+)")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Snippet:
    """One fenced block of a page.

    Attributes:
        page: The Markdown file.
        line: The line of its first line of code, from 1.
        language: The first word after the fence.
        code: What stands between the fences.
        mode: What its comment asks for.
    """

    page: Path
    line: int
    language: str
    code: str
    mode: Mode

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def snippets(page: Path) -> list[Snippet]:
    """All fenced blocks of a page in a language that is run.

    Raises:
        ValueError: If a comment asks for something that is not known.
    """
    found: list[Snippet] = []
    mode: Mode = "run"
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        line = token.map[0] + 2 if token.map else 0
        if token.type == "fence":
            language = token.info.strip().partition(" ")[0]
            if language in _PLAYERS:
                found.append(Snippet(page, line, language, token.content, mode))
            mode = "run"
        elif token.type == "html_block" and "<!-- snippet" in token.content:
            mode = _mode(token.content, f"{page.name}:{line - 1}")
    return found


def _mode(comment: str, place: str) -> Mode:
    match = _MARK.fullmatch(comment.strip())
    if match and match["mode"] == "background" and not match["reason"]:
        return "background"
    if match and match["mode"] == "skip" and match["reason"]:
        return "skip"
    raise ValueError(
        f"{place}: expected <!-- snippet: background --> or <!-- snippet: skip, the reason -->, "
        f"got {comment.strip()}"
    )


class Stage:
    """Plays the snippets of one page; a context, at whose end all that still runs is ended.

    Args:
        folder: An empty folder with a short path, for the page's sockets stand in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._ports: dict[str, int] = {}
        self._running: list[tuple[Snippet, Background]] = []
        self._ends = contextlib.ExitStack()
        for name in ("Makefile", "pyproject.toml"):
            (folder / name).symlink_to(ROOT / name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._names.clear()
        self._ends.close()

    def play(self, snippet: Snippet) -> None:
        """Runs one snippet, or starts it if it is one for the background."""
        if snippet.mode == "background":
            self._start(snippet)
        elif snippet.mode == "run":
            _PLAYERS[snippet.language](self, snippet, self._adapted(snippet.code))

    def stop(self) -> None:
        """Ends what runs in the background, the latest first, and checks that it ends well."""
        for snippet, process in reversed(self._running):
            code = process.stop()
            assert code == 0, f"{snippet} ended with exit code {code}:\n{process.output()}"

    def play_python(self, snippet: Snippet, code: str) -> None:
        padded = "\n" * (snippet.line - 1) + code
        exec(compile(padded, str(snippet.page), "exec"), self._names)  # noqa: S102  our own pages

    def play_pycon(self, snippet: Snippet, code: str) -> None:
        test = doctest.DocTestParser().get_doctest(
            code, {}, str(snippet), str(snippet.page), snippet.line - 1
        )
        test.globs = self._names
        report: list[str] = []
        doctest.DocTestRunner(optionflags=_FLAGS).run(test, out=report.append, clear_globs=False)
        assert not report, "".join(report)

    def play_bash(self, snippet: Snippet, code: str) -> None:
        self._bash(snippet, code)

    def play_console(self, snippet: Snippet, code: str) -> None:
        for command, expected in _session(code):
            got = self._bash(snippet, command)
            fits = doctest.OutputChecker().check_output(expected, got, _FLAGS)
            assert fits, f"{snippet}: $ {command}\nexpected:\n{expected}\ngot:\n{got}"

    def _bash(self, snippet: Snippet, code: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{snippet} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def _start(self, snippet: Snippet) -> None:
        code = self._adapted(snippet.code)
        addresses = [tcp or f"unix:{path}" for tcp, path in _ADDRESS.findall(code)]
        assert addresses, f"{snippet} runs in the background, so it must name an address"
        if snippet.language == "python":
            script = self._folder / f"line{snippet.line}.py"
            script.write_text(code)
            command = [sys.executable, "-W", "error", str(script)]
        else:
            lines = [line.removeprefix("$ ") for line in code.splitlines() if line]
            [single] = lines or [""]
            command = shlex.split(single)
        process = self._ends.enter_context(
            background(
                command,
                self._folder / f"line{snippet.line}.log",
                cwd=self._folder,
                env=self._environment(),
            )
        )
        self._running.append((snippet, process))
        certificate = _CERTIFICATE.search(code)
        for address in addresses:
            try:
                wait_until_serving(address, certificate=certificate[1] if certificate else None)
            except Exception as error:
                add_note(error, f"{snippet} does not serve {address}:\n{process.output()}")
                raise

    def _adapted(self, code: str) -> str:
        here = code.replace("/tmp/", f"{self._folder}/")  # noqa: S108  what pages write
        return re.sub(r"\b555\d\b", lambda match: str(self._port(match[0])), here)

    def _port(self, written: str) -> int:
        if written not in self._ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[written] = free.getsockname()[1]
        return self._ports[written]

    def _environment(self) -> dict[str, str]:
        scripts = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "MAKEFLAGS": "n",
            # As if the server for old interpreters were installed.
            "PYTHONPATH": str(ROOT / "legacy"),
        }


def _session(code: str) -> list[tuple[str, str]]:
    """The commands of a console snippet, each with the output that stands below it."""
    found: list[tuple[str, str]] = []
    for line in code.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line.removeprefix('> ')}", "")
        else:
            command, expected = found[-1]
            found[-1] = (command, f"{expected}{line}\n")
    return found


_PLAYERS = {
    "python": Stage.play_python,
    "pycon": Stage.play_pycon,
    "bash": Stage.play_bash,
    "console": Stage.play_console,
}
