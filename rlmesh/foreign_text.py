"""Makes text of another process fit for a log or a terminal: printable, and bounded.

A peer chooses names, messages and stacks. Printed as they are, they could steer a terminal, begin a
line of a log, or fill a disk.
"""

from __future__ import annotations

LONGEST_NAME = 200
"""The most characters that are shown of a name."""

LONGEST_TEXT = 1 << 14
"""The most characters that are shown of a text of several lines."""


def one_line(text: str, most: int = LONGEST_NAME) -> str:
    """A foreign name or short text, in one line.

    Args:
        text: The text.
        most: How many of its characters are shown.

    Returns:
        The text, with an escape sequence of Python for what is not printable. A cut is marked.
    """
    return _printable(text, most, keep="")


def paragraphs(text: str, most: int = LONGEST_TEXT) -> str:
    """A foreign text of several lines, such as a stack; arguments and result as of `one_line`."""
    return _printable(text, most, keep="\n")


def log_lines(text: str, most: int = LONGEST_TEXT) -> str:
    """A foreign text of several lines for a log; arguments and result as of `one_line`.

    Every line after the first is indented, so that none looks like the beginning of a record.
    """
    return paragraphs(text, most).replace("\n", "\n    ")


def _printable(text: str, most: int, keep: str) -> str:
    shown = text if len(text) <= most else text[:most]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in shown)
    return shown if len(text) <= most else f"{shown}... ({len(text) - most} more characters)"
