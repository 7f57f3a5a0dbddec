"""Annotations, written so that two that mean the same are the same text."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TypeAlias

import griffe

from codegen.stability.source_package import Package

Expression: TypeAlias = griffe.Expr | str | None

NameOf: TypeAlias = Callable[[griffe.Class], str]
"""What a class of the packages is called; it may remember which classes it was asked for."""

_OWN = ("rlmesh.", "rlmesh_api.")
_STUBS = "rlmesh_api.v1."
_PLAIN = ("typing.", "typing_extensions.", "collections.abc.", "builtins.")


class Annotations:
    """Writes expressions with the full names of what they name, aliases of types resolved.

    Attributes:
        type_variables: What makes each type variable that was met.
    """

    def __init__(self, package: Package, name_of: NameOf) -> None:
        self._package = package
        self._name_of = name_of
        self.type_variables: dict[str, str] = {}

    def text(self, expression: Expression) -> str:
        """An expression as text; empty where there is none."""
        node = self._node(expression)
        return "" if node is None else ast.unparse(node)

    def _node(self, expression: Expression) -> ast.expr | None:
        if expression is None:
            return None
        names: dict[str, str] = {}
        if isinstance(expression, griffe.Expr):
            # Of `np.ndarray` the scope knows `np`.
            for part in expression.iterate(flat=True):
                if isinstance(part, griffe.ExprName) and not isinstance(
                    part.parent, griffe.ExprName
                ):
                    names[part.name] = part.canonical_path
        tree: ast.expr = _Renamer(names, self._named).visit(
            ast.parse(str(expression), mode="eval").body
        )
        return tree

    def _named(self, path: str) -> ast.expr:
        """What stands for the thing at a path."""
        for prefix in _PLAIN:
            if path.startswith(prefix):
                return _path(path.removeprefix(prefix))
        if path.startswith(_OWN) and not path.startswith(_STUBS):
            found = self._package.find(path)
            if isinstance(found, griffe.Class):
                return _path(self._name_of(found))
            if isinstance(found, griffe.Attribute) and found.value is not None:
                return self._alias(found)
            if (origin := self._package.origin(path)) != path:
                return self._named(origin)
        return _path(path)

    def _alias(self, attribute: griffe.Attribute) -> ast.expr:
        """What an alias of a type stands for; the name of a type variable."""
        value = attribute.value
        if isinstance(value, griffe.ExprCall):
            if value.canonical_path.endswith(("TypeVar", "ParamSpec", "TypeVarTuple")):
                self.type_variables[attribute.name] = self.text(value)
            return _path(attribute.name)
        node = self._node(value)
        return _path(attribute.path) if node is None else node


class _Renamer(ast.NodeTransformer):
    """Puts full names in the place of those that a scope knows, and `X | None` for `Optional`."""

    def __init__(self, names: dict[str, str], named: Callable[[str], ast.expr]) -> None:
        self._names = names
        self._named = named

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._named(self._names.get(node.id, node.id))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        first, _, rest = ast.unparse(node).partition(".")
        return self._named(f"{self._names.get(first, first)}.{rest}")

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        match ast.unparse(node.value):
            case "Optional":
                return ast.BinOp(node.slice, ast.BitOr(), ast.Constant(None))
            case "Union":
                parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
                union = parts[0]
                for part in parts[1:]:
                    union = ast.BinOp(union, ast.BitOr(), part)
                return union
            case "List" | "Tuple" | "Dict" | "Set" | "FrozenSet" | "Type" as name:
                return ast.Subscript(_path(name.lower()), node.slice, ast.Load())
            case _:
                return node


def _path(path: str) -> ast.expr:
    return ast.parse(path, mode="eval").body
