"""Reads stubs: what `make baseline` wrote, and what would be written now."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import griffe

from codegen.errors import SourceError
from codegen.runtime._stability import Stability

_LABELS = {label.value: label for label in (Stability.STABLE, Stability.EXPERIMENTAL)}
_MODULE_LABEL = "__stability__"


@dataclass(frozen=True, slots=True)
class Stub:
    """One module, as it is promised.

    Attributes:
        label: How stable the module is.
        module: What stands in it.
    """

    label: Stability
    module: griffe.Module


Stubs: TypeAlias = Mapping[str, Stub]
"""The stub of every public module, by name."""


# A check of several repositories in turn, as tests make, meets the same stubs each time.
@functools.lru_cache(maxsize=128)
def read_stub(name: str, text: str, place: str) -> Stub:
    """Read the stub of one module, which nobody changes afterwards.

    Args:
        name: The module.
        text: The stub.
        place: The file that it stands in, for messages.

    Raises:
        SourceError: It is damaged; the line says where, and what is expected there.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        line = f"{place}:{error.lineno}: expected a stub of Python, got: {error.msg}"
        raise SourceError([line]) from None
    if problem := next(_problems(tree), None):
        raise SourceError([f"{place}:{problem}"])
    label = _LABELS[_value(tree.body[0])]
    # A stub imports nothing, and Griffe takes the words of an unknown `Literal` for names.
    module = griffe.visit(name, Path(place), f"from typing import Literal;{text}")
    module.del_member("Literal")
    return Stub(label, module)


def _problems(tree: ast.Module) -> Iterator[str]:
    """What is not as `make baseline` writes it."""
    words = " or ".join(_LABELS)
    if not tree.body or _value(tree.body[0]) not in _LABELS:
        yield f"{tree.body[0].lineno if tree.body else 1}: expected `{_MODULE_LABEL} = ` {words}"
    for node in tree.body[1:]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not any(ast.unparse(each) in _LABELS for each in node.decorator_list):
                yield f"{node.lineno}: expected @{words} above {node.name}".replace(" or ", " or @")
        elif isinstance(node, ast.AnnAssign):
            if _marked(ast.unparse(node.annotation)) is None:
                yield f"{node.lineno}: expected {words} around the type".replace(" or ", "[] or ")
        elif not isinstance(node, ast.Assign):
            yield f"{node.lineno}: expected a class, a function, a constant or another name of one"


def _value(node: ast.stmt) -> str:
    """What the label of a module is set to."""
    return ast.unparse(node).removeprefix(f"{_MODULE_LABEL} = ")


def _marked(annotation: str) -> Stability | None:
    return _LABELS.get(annotation.partition("[")[0]) if annotation.endswith("]") else None


def label_of(item: griffe.Object) -> Stability | None:
    """The label that an item declares; None where it takes that of what contains it."""
    if isinstance(item, griffe.Attribute) and item.annotation is not None:
        found = _marked(str(item.annotation))
        if found is not None:
            return found
    for decorator in getattr(item, "decorators", ()):
        if str(decorator.value) in _LABELS:
            return _LABELS[str(decorator.value)]
    return None


def type_of(item: griffe.Attribute) -> str:
    """The type of an attribute, without its label."""
    text = "" if item.annotation is None else str(item.annotation)
    return text.partition("[")[2].removesuffix("]") if _marked(text) else text
