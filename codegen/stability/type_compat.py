"""Whether all values of one type are values of another, as far as their texts say."""

from __future__ import annotations

import ast
import builtins
import collections.abc
from collections.abc import Callable
from typing import TypeAlias

IsA: TypeAlias = Callable[[str, str], bool]
"""Whether a class of the package, by its name, derives from another."""

_ANY = frozenset({"Any", "object"})
# PEP 484: where a float is expected, an int will do.
_PROMOTED = {("int", "float"), ("int", "complex"), ("float", "complex")}
# What options of commands take, `IntRange[x >= 1, x < 9]`.
_RANGES = {"IntRange": "int", "FloatRange": "float"}
# Read-only containers: one of a narrower type is one of a wider type.
_INVARIANT = frozenset({"list", "dict", "set", "bytearray", "MutableMapping", "MutableSequence"})


def fits(narrow: str, wide: str, is_a: IsA) -> bool:
    """Whether a value of one type is one of another; what is not certain does not fit.

    Args:
        narrow: The one type, as text; an empty one is Any.
        wide: The other.
        is_a: What derives from what in the package.
    """
    if narrow == wide:
        return True
    return _fits(_parsed(narrow), _parsed(wide), is_a)


def _parsed(text: str) -> ast.expr:
    return ast.parse(text or "Any", mode="eval").body


def _fits(narrow: ast.expr, wide: ast.expr, is_a: IsA) -> bool:
    narrow, wide = _bare(narrow), _bare(wide)
    if ast.unparse(narrow) == ast.unparse(wide) or ast.unparse(wide) in _ANY:
        return True
    if ast.unparse(narrow) in _ANY:
        return False
    options = _options(narrow)
    if len(options) > 1:
        return all(_fits(option, wide, is_a) for option in options)
    allowed = _options(wide)
    if len(allowed) > 1:
        return any(_fits(narrow, option, is_a) for option in allowed)
    return _one_fits(narrow, wide, is_a)


def _bare(node: ast.expr) -> ast.expr:
    """A type without what is merely said of it."""
    if isinstance(node, ast.Subscript):
        word = ast.unparse(node.value)
        if word in {"ClassVar", "Final", "Stable", "Experimental", "Required", "NotRequired"}:
            return _bare(node.slice)
        if word == "Annotated" and isinstance(node.slice, ast.Tuple):
            return _bare(node.slice.elts[0])
    return node


def _options(node: ast.expr) -> list[ast.expr]:
    """The members of a union, each literal a separate member."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_options(_bare(node.left)), *_options(_bare(node.right))]
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
        values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return [ast.Subscript(node.value, value, ast.Load()) for value in values]
    return [node]


def _one_fits(narrow: ast.expr, wide: ast.expr, is_a: IsA) -> bool:
    name, arguments = _split(narrow)
    wide_name, wide_arguments = _split(wide)
    if name == "Literal" and wide_name != "Literal":
        value = ast.literal_eval(arguments[0])
        return _derives(type(value).__name__, wide_name, is_a)
    if name in _RANGES and wide_name in _RANGES:
        kinds = (_RANGES[name], _RANGES[wide_name])
        return _derives(*kinds, is_a) and all(
            any(_bounds_as_much(own, other) for own in arguments) for other in wide_arguments
        )
    name = _RANGES.get(name, name)
    if not _derives(name, wide_name, is_a):
        return False
    if "Literal" in {name, wide_name} or "Callable" in {name, wide_name}:
        return ast.unparse(narrow) == ast.unparse(wide)
    if not wide_arguments:
        return True
    if name == "tuple":
        return _tuple_fits(arguments, wide_name, wide_arguments, is_a)
    arguments = arguments or [ast.Name("Any")] * len(wide_arguments)
    pairs = zip(arguments, wide_arguments, strict=False)
    if wide_name in _INVARIANT:
        return all(_same(own, other) for own, other in pairs)
    return all(_fits(own, other, is_a) for own, other in pairs)


def _same(own: ast.expr, other: ast.expr) -> bool:
    return ast.unparse(other) == "Any" or ast.unparse(own) == ast.unparse(other)


def _tuple_fits(
    arguments: list[ast.expr], wide_name: str, wide_arguments: list[ast.expr], is_a: IsA
) -> bool:
    """Whether a tuple is a tuple of other types, or a container of them."""
    own = [part for part in arguments if ast.unparse(part) != "..."]
    other = [part for part in wide_arguments if ast.unparse(part) != "..."]
    if wide_name == "tuple" and len(other) == len(wide_arguments):
        same_length = len(own) == len(other) and len(own) == len(arguments)
        return same_length and all(_fits(a, b, is_a) for a, b in zip(own, other, strict=True))
    return all(_fits(part, other[0], is_a) for part in own)


def _bounds_as_much(own: ast.expr, other: ast.expr) -> bool:
    """Whether a bound of a range, `x >= 1`, lets nothing pass that another one stops."""
    if not (isinstance(own, ast.Compare) and isinstance(other, ast.Compare)):
        return False
    (sign, wide_sign), is_lower = (own.ops[0], other.ops[0]), (ast.Gt, ast.GtE)
    if isinstance(sign, is_lower) is not isinstance(wide_sign, is_lower):
        return False
    bound, allowed = (ast.literal_eval(each.comparators[0]) for each in (own, other))
    if bound == allowed:
        return isinstance(wide_sign, ast.GtE | ast.LtE) or type(sign) is type(wide_sign)
    return bool(bound > allowed if isinstance(sign, is_lower) else bound < allowed)


def _split(node: ast.expr) -> tuple[str, list[ast.expr]]:
    if isinstance(node, ast.Subscript):
        inside = node.slice
        return ast.unparse(node.value), inside.elts if isinstance(inside, ast.Tuple) else [inside]
    return ast.unparse(node), []


def _derives(name: str, base: str, is_a: IsA) -> bool:
    if name == base or (name, base) in _PROMOTED or is_a(name, base):
        return True
    one, other = _class_of(name), _class_of(base)
    return one is not None and other is not None and issubclass(one, other)


def _class_of(name: str) -> type | None:
    """A built-in class, or an abstract one of containers."""
    found: object = getattr(builtins, name, None) or getattr(collections.abc, name, None)
    return found if isinstance(found, type) else None
