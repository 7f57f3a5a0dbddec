"""Comments as text: paragraphs and docstrings."""

from __future__ import annotations

import re
import textwrap

WIDTH = 100
"""The longest line of a generated Python file."""

_ITEM = re.compile(r"- |\d+\. ")


def blocks(comment: str) -> list[str]:
    """The paragraphs and list items of a comment, each on one line; indented text as it stands."""
    found: list[str] = []
    for paragraph in re.split(r"\n[ \t]*\n", comment.strip("\n")):
        lines = paragraph.splitlines()
        if all(line.startswith("  ") for line in lines):
            found.append(paragraph)
            continue
        current: list[str] = []
        for line in lines:
            if _ITEM.match(line) and current:
                found.append(" ".join(current))
                current = []
            current.append(line.strip())
        if current:
            found.append(" ".join(current))
    return found


def wrapped(comment: str, indent: str, hanging: str | None = None) -> list[str]:
    """The lines of a comment, no longer than `WIDTH`, a blank line between paragraphs.

    Args:
        comment: The comment.
        indent: What every line begins with.
        hanging: What every line but the first begins with instead.
    """
    rest = indent if hanging is None else hanging
    lines: list[str] = []
    for number, block in enumerate(blocks(comment)):
        first = indent if number == 0 else rest
        is_item = bool(_ITEM.match(block))
        if number and not (is_item and _ITEM.match(blocks(comment)[number - 1])):
            lines.append("")
        if block.startswith("  "):
            lines += [(first + line).rstrip() for line in block.splitlines()]
            continue
        lines += textwrap.wrap(
            block,
            WIDTH,
            initial_indent=first,
            subsequent_indent=rest + ("  " if is_item else ""),
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def docstring(comment: str, indent: str, sections: list[str] | None = None) -> str:
    """A docstring with its quotes.

    Args:
        comment: The summary and what follows it.
        indent: What the docstring's lines begin with.
        sections: Lines that follow after a blank line, indented already.
    """
    lines = wrapped(f'"""{_summary_first(escaped(comment), WIDTH - len(indent) - 6)}', indent)
    if sections:
        lines += ["", *sections]
    if len(lines) == 1 and len(lines[0]) + 3 <= WIDTH and not lines[0].endswith('"'):
        return f'{lines[0]}"""'
    return "\n".join([*lines, f'{indent}"""'])


def escaped(text: str) -> str:
    """Text that means itself within a docstring."""
    return text.replace("\\", "\\\\").replace('"""', '\\"""')


def _summary_first(comment: str, width: int) -> str:
    """The comment, its first sentence a separate paragraph unless the comment fits on a line."""
    first, *others = blocks(comment)
    if others or len(first) <= width or not (end := re.search(r"\.\s", first)):
        return comment
    return f"{first[: end.start() + 1]}\n\n{first[end.end() :]}"
