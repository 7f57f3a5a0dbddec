"""The tables of a documentation page, so that a test can compare them with the code."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

from support.repository import ROOT

Row = tuple[str, ...]


def tables(page: str) -> dict[str, list[Row]]:
    """The tables of a page, each by the text of its first heading cell and the section it is in.

    Args:
        page: The file's path in the repository.

    Returns:
        The rows without the heading, by `section: first heading`; a cell is Markdown.
    """
    found: dict[str, list[Row]] = {}
    section, rows, row, in_head = "", list[Row](), list[str](), False
    previous = ""
    for token in MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text()):
        match token.type:
            case "thead_open":
                in_head = True
            case "thead_close":
                in_head = False
            case "tr_open":
                row = []
            case "inline" if previous == "heading_open":
                section = token.content
            case "inline" if previous in ("td_open", "th_open"):
                row.append(token.content)
            case "tr_close" if in_head:
                rows = found[f"{section}: {row[0]}"] = []
            case "tr_close":
                rows.append(tuple(row))
            case _:
                pass
        previous = token.type
    return found


def code(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)
