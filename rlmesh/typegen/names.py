"""Names and texts in Python code, as formatters write them."""

from __future__ import annotations

import keyword
import re
import textwrap
import unicodedata
from collections.abc import Iterable

WIDTH = 88
"""The longest line; a formatter that allows longer ones leaves these alone."""

LONGEST_NAME = 33
"""The longest name of a type: two of them fit on one line."""

OBSERVATION, ACTION = "Observation", "Action"
"""The names of the two types that all others are parts of."""

# What annotations are made of: a class attribute of that name would stand in their way.
_IN_ANNOTATIONS = re.compile("Any|Literal|int|np|npt|str|tuple|(Observation|Action).*")


class Names:
    """Names of a module's types, each given once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def child(self, parent: str, key: str | int) -> str:
        """A name for the type of a part."""
        wanted = f"{parent}{camel_case(str(key))}"
        if len(wanted) > LONGEST_NAME:
            # Deep places have no good name.
            wanted = f"{OBSERVATION if parent.startswith(OBSERVATION) else ACTION}Part"
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}{number}", number + 1
        self._taken.add(name)
        return name


def camel_case(text: str) -> str:
    """The words of a text as one: `two words` is `TwoWords`."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    return "".join(word[0].upper() + word[1:] for word in words)


def is_attribute(key: str) -> bool:
    """Whether a key of a dict may stand as an annotated name in a class."""
    return (
        key.isidentifier()
        and not keyword.iskeyword(key)
        # The compiler would take another name for it.
        and not key.startswith("__")
        and unicodedata.normalize("NFKC", key) == key
        and not _IN_ANNOTATIONS.fullmatch(key)
    )


def quoted(text: str) -> str:
    """A text as a literal, in double quotes unless it has more of them than single ones."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    inside = "".join(char if char in "'\"" else repr(char)[1:-1] for char in text)
    return quote + inside.replace(quote, f"\\{quote}") + quote


def docstring(indent: str, *paragraphs: str) -> str:
    """A docstring with its quotes; lists stand with a line for each item."""
    width = WIDTH - len(indent)
    lines: list[str] = []
    for paragraph in paragraphs:
        lines += [""] * bool(lines)
        for item in paragraph.splitlines():
            lines += textwrap.wrap(
                _escaped(item),
                width - 3 * (not lines),
                subsequent_indent="    " * (paragraph != item),
                break_long_words=False,
                break_on_hyphens=False,
            )
    first, *rest = lines
    if not rest and len(first) + 6 <= width:
        return f'{indent}"""{first}"""'
    body = [f"{indent}{line}".rstrip() for line in rest]
    return "\n".join([f'{indent}"""{first}', *body, f'{indent}"""'])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
