"""Output for people: coloured on a terminal, plain elsewhere."""

from __future__ import annotations

import os
import sys

from rich.console import Console

# Where nobody sees lines being wrapped, a table may be as wide as it needs.
_WIDTH_WITHOUT_TERMINAL = 120


def make_console() -> Console:
    """A console on standard output; it honours NO_COLOR, FORCE_COLOR and COLUMNS."""
    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, markup=False, width=_WIDTH_WITHOUT_TERMINAL if wide else None)


def plain(text: str) -> str:
    """A text of another process without what could steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def print_line(text: str) -> None:
    """Prints a line at once; nobody may be there to read it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader has gone, and Python must not stumble over it once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
