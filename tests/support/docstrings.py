"""What public callables say in their docstrings, and what their source does.

Everything is read from the source, so that rlmesh.torch is held too where torch is not installed.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import griffe

from codegen.generate import load
from codegen.stability.source_package import Package, members
from rlmesh import errors
from support.repository import ROOT

_SAME_AS = re.compile(r"As `(?P<path>rlmesh[\w.]*)`")
_EMPTY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PublicCallable:
    """One public callable.

    Attributes:
        path: Its full name.
        function: Where its parameters and its body are; None for a class that defines none.
        docstring: The docstring that has to name them.
        same_as: The other callable whose docstring holds, or None.
    """

    path: str
    function: griffe.Function | None
    docstring: griffe.Docstring | None
    same_as: str | None

    def parameters(self) -> set[str]:
        """The names of its parameters."""
        if self.function is None:
            return set()
        return {each.name for each in self.function.parameters} - {"self", "cls"}

    def documented(self, kind: str) -> set[str]:
        """What a section of its docstring names; a class adds to that of the base it constructs."""
        named = _named(self.docstring, kind)
        if self.function is not None and self.function.name == "__init__":
            assert self.function.parent is not None
            named |= _named(self.function.parent.docstring, kind)
        return named


def public_callables() -> dict[str, PublicCallable]:
    """Every function, class and public method that api_metadata.json exports, by full name."""
    package = Package(ROOT)
    found: dict[str, PublicCallable] = {}
    for module in load(ROOT).modules:
        for row in module.exports:
            if row.alias_of is not None or row.kind == "constant":
                continue
            path = f"{module.name}.{row.name}"
            target = package.find(path)
            assert target is not None, path
            for each in _callables(path, target):
                found[each.path] = each
    return found


def _callables(path: str, target: griffe.Object) -> Iterator[PublicCallable]:
    if isinstance(target, griffe.Function):
        yield _described(path, target, target.docstring)
    elif isinstance(target, griffe.Class):
        own = members(target)
        init = own.get("__init__")
        yield _described(
            path, init if isinstance(init, griffe.Function) else None, target.docstring
        )
        for name, member in own.items():
            if isinstance(member, griffe.Function) and not name.startswith("_"):
                yield _described(f"{path}.{name}", member, member.docstring)


def _described(
    path: str, function: griffe.Function | None, docstring: griffe.Docstring | None
) -> PublicCallable:
    match = _SAME_AS.match(docstring.value) if docstring else None
    return PublicCallable(path, function, docstring, match["path"] if match else None)


def _named(docstring: griffe.Docstring | None, kind: str) -> set[str]:
    if docstring is None:
        return set()
    names: set[str] = set()
    for section in docstring.parse("google", warnings=False):
        if section.kind is kind:
            for item in section.value:
                name = (
                    str(item.annotation)
                    if kind is griffe.DocstringSectionKind.raises
                    else item.name
                )
                names.add(name.lstrip("*"))
    return names


class Raised:
    """Finds which errors a function lets out, by what its source raises and calls.

    It follows calls of functions and classes by name, of methods of `self`, and of methods of what
    `self` holds where the class says what that is. What a called function says under `Raises` is
    believed; where it has no such section, its own body is read.
    """

    def __init__(self) -> None:
        self._package = Package(ROOT)
        self._known: dict[str, frozenset[str]] = {}

    def by(self, function: griffe.Function) -> frozenset[str]:
        """The names of the errors that leave the body of a function."""
        if function.path not in self._known:
            self._known[function.path] = _EMPTY  # a recursion adds nothing
            self._known[function.path] = frozenset(self._leave(_body(function), function))
        return self._known[function.path]

    def _leave(self, nodes: Iterable[ast.AST], where: griffe.Function) -> set[str]:
        found: set[str] = set()
        for node in nodes:
            found |= self._leave_one(node, where)
        return found

    def _leave_one(self, node: ast.AST, where: griffe.Function) -> set[str]:
        match node:
            case ast.Try():
                return self._of_try(node, where)
            case ast.FunctionDef() | ast.Lambda():
                return set()  # it runs later, or elsewhere
            case _:
                found = self._leave(ast.iter_child_nodes(node), where)
        match node:
            case ast.With():
                caught = [each for item in node.items for each in _suppressed(item.context_expr)]
                return {name for name in found if not _is_one(name, caught)}
            case ast.Raise(exc=ast.expr() as exc):
                raised = ast.unparse(exc.func if isinstance(exc, ast.Call) else exc)
                return found | ({raised.rpartition(".")[2]} if _class(raised) else set())
            case ast.Call():
                return found | self._of_call(node, where)
            case _:
                return found

    def _of_try(self, node: ast.Try, where: griffe.Function) -> set[str]:
        inside = self._leave(node.body, where)
        for handler in node.handlers:
            raises_again = any(
                isinstance(each, ast.Raise) and each.exc is None for each in ast.walk(handler)
            )
            if not raises_again:
                caught = _classes(handler.type)
                inside = {name for name in inside if not _is_one(name, caught)}
            inside |= self._leave(handler.body, where)
        return inside | self._leave([*node.orelse, *node.finalbody], where)

    def _of_call(self, call: ast.Call, where: griffe.Function) -> set[str]:
        target = self._target(call.func, where)
        if isinstance(target, griffe.Class):
            if target.docstring and "Raises:" in target.docstring.value:
                return _named(target.docstring, griffe.DocstringSectionKind.raises)
            parts = [members(target).get(name) for name in ("__init__", "__post_init__")]
        else:
            parts = [target]
        found: set[str] = set()
        for part in parts:
            if isinstance(part, griffe.Function):
                documented = _named(part.docstring, griffe.DocstringSectionKind.raises)
                found |= documented or self.by(part)
        return found

    def _target(self, called: ast.expr, where: griffe.Function) -> griffe.Object | None:
        match called:
            case ast.Name(id=name):
                return self._resolved(name, where)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return (
                    members(where.parent).get(name)
                    if isinstance(where.parent, griffe.Class)
                    else None
                )
            case ast.Attribute(
                value=ast.Attribute(value=ast.Name(id="self"), attr=held), attr=name
            ):
                cls = self._held(held, where)
                return members(cls).get(name) if cls else None
            case _:
                return None

    def _resolved(self, name: str, where: griffe.Object) -> griffe.Object | None:
        try:
            return self._package.find(where.resolve(name))
        except griffe.NameResolutionError:
            return None

    def _held(self, name: str, where: griffe.Function) -> griffe.Class | None:
        """The class of what an attribute of `self` holds; of several, the first."""
        attribute = (
            members(where.parent).get(name) if isinstance(where.parent, griffe.Class) else None
        )
        if not isinstance(attribute, griffe.Attribute):
            return None
        for text in (attribute.annotation, attribute.value):
            for word in re.findall(r"[A-Z]\w+", str(text or "")):
                found = self._resolved(word, where)
                if isinstance(found, griffe.Class):
                    return found
        return None


def _body(function: griffe.Function) -> list[ast.stmt]:
    """The statements of a function; none of one that a data class has without writing it."""
    parsed = ast.parse(textwrap.dedent(function.source)).body
    return parsed[0].body if parsed and isinstance(parsed[0], ast.FunctionDef) else []


def _classes(caught: ast.expr | None) -> list[type[BaseException] | None]:
    if caught is None:
        return [BaseException]
    each = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return [_class(ast.unparse(one)) for one in each]


def _suppressed(context: ast.expr) -> list[type[BaseException] | None]:
    if isinstance(context, ast.Call) and ast.unparse(context.func).endswith("suppress"):
        return [_class(ast.unparse(each)) for each in context.args]
    return []


def _class(name: str) -> type[BaseException] | None:
    last = name.rpartition(".")[2]
    found = getattr(errors, last, None) or getattr(builtins, last, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _is_one(name: str, of: list[type[BaseException] | None]) -> bool:
    cls = _class(name)
    return cls is not None and any(each is not None and issubclass(cls, each) for each in of)


def covers(documented: set[str], raised: str) -> bool:
    """Whether a section names an error of the public tree, or a class that it derives from.

    What is no part of the tree stays inside, and the root stands in docstrings of the inside for
    errors that another docstring lists.
    """
    if raised not in errors.__all__ or raised == errors.RlmeshError.__name__:
        return True
    return _is_one(raised, [_class(name) for name in documented])
