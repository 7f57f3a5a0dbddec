"""Output for people: coloured on a terminal, plain elsewhere."""

from __future__ import annotations

import sys

from rich.console import Console

# Programs that read lines want them whole; a table takes no more than it needs.
_WIDTH_WITHOUT_TERMINAL = 1000


def make_console() -> Console:
    """A console on standard output; it honours NO_COLOR and FORCE_COLOR."""
    _write_what_can_be_written()
    width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(highlight=False, markup=False, width=width)


def is_live(console: Console) -> bool:
    """Whether what was printed can be changed again: on a terminal that can do so.

    FORCE_COLOR makes a pipe coloured, and no terminal of it.
    """
    return sys.stdout.isatty() and not console.is_dumb_terminal


def _write_what_can_be_written() -> None:
    """Has letters that standard output's encoding lacks be spelled out, not stumbled over."""
    # What stands in for standard output in a test or a notebook may not know how.
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(errors="backslashreplace")
