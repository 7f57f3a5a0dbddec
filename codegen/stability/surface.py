"""What users see of the package, as stubs: one text for each public module.

A class is written with everything that it has, inherited or its own, so that moving a method to a
base is no change, and with every public ancestor among its bases.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import griffe

from codegen.metadata import ExportRow, Metadata
from codegen.runtime._stability import Stability
from codegen.stability.annotations import Annotations
from codegen.stability.package import Package, family, members

HEAD = "# Written by `make baseline`; do not edit.\n"

_HIDDEN = frozenset(
    {"__all__", "__doc__", "__init_subclass__", "__match_args__", "__module__", "__post_init__"}
    | {"__del__", "__repr__", "__slots__", "__str__"}
)
"""Special names that say nothing to a caller, or that are written in another way."""

_MEANT = frozenset(Stability) - {Stability.INTERNAL}


@dataclass(frozen=True, slots=True)
class Shown:
    """A class of the packages that something public shows.

    Attributes:
        by: The full name of the public thing, `rlmesh.RemoteEnv.step_many`.
        label: How stable that is.
        cls: The class.
    """

    by: str
    label: Stability
    cls: griffe.Class


class Surface:
    """What users see of one version of the package.

    Attributes:
        modules: The stub of every public module, by name.
        shown: Which classes are shown by what.
        missing: Exports that are listed and stand for nothing.
    """

    def __init__(self, package: Package, metadata: Metadata) -> None:
        self._package = package
        self._metadata = metadata
        self.shown: list[Shown] = []
        self.missing: list[str] = []
        self._public = self._public_names()
        self._at: tuple[str, Stability] = ("", Stability.STABLE)
        self._annotations = Annotations(package, self._name_of)
        self.modules = self._listed_modules()
        self.modules |= self._reached_modules()

    def name_of(self, cls: griffe.Class) -> str:
        """The public name of a class, or else where it is defined."""
        return self._public.get(cls.path, cls.path)

    def _name_of(self, cls: griffe.Class) -> str:
        by, label = self._at
        self.shown.append(Shown(by, label, cls))
        return self.name_of(cls)

    def _public_names(self) -> dict[str, str]:
        """The first name under which each thing is listed, by where it is defined."""
        names: dict[str, str] = {}
        for name, row in self._metadata.exports().items():
            found = self._package.find(name)
            if found is not None and row.alias_of is None:
                names.setdefault(found.path, name)
        return names

    def _listed_modules(self) -> dict[str, str]:
        listed = {module.name for module in self._metadata.modules}
        texts: dict[str, str] = {}
        for module in self._metadata.modules:
            if module.stability not in _MEANT:
                continue
            self._annotations.type_variables = {}
            parts = [
                text
                for row in module.exports
                if (text := self._export(f"{module.name}.{row.name}", row))
            ]
            parts += [
                f"{name} = {module.name}.{name}\n"
                for name in sorted(self._package.exports(module.name) or ())
                if f"{module.name}.{name}" in listed
            ]
            texts[module.name] = self._module(module.stability, parts)
        return texts

    def _reached_modules(self) -> dict[str, str]:
        """What public things show and no module lists, with the label of what shows it."""
        parts: dict[str, dict[str, str]] = {}
        homes: dict[str, Stability] = {}
        self._annotations.type_variables = {}
        done: set[str] = set()
        while found := [each for each in self.shown if self._is_unlisted(each.cls, done)]:
            # The stable ones first: what they show is stable too.
            first = min(found, key=lambda each: list(Stability).index(each.label))
            done.add(first.cls.path)
            home, _, name = first.cls.path.rpartition(".")
            text = self._class(first.cls.path, name, first.cls, first.label, frozenset())
            parts.setdefault(home, {})[name] = text
            homes.setdefault(home, first.label)
        return {
            home: self._module(homes[home], [parts[home][name] for name in sorted(parts[home])])
            for home in sorted(parts)
        }

    def _is_unlisted(self, cls: griffe.Class, done: set[str]) -> bool:
        return not (cls.path in self._public or cls.path in done or cls.name.startswith("_"))

    def _module(self, label: Stability, parts: list[str]) -> str:
        variables = [
            f"{name} = {made}\n" for name, made in sorted(self._annotations.type_variables.items())
        ]
        head = f"{HEAD}__stability__ = {label.value}\n"
        return "\n".join([head, *(["".join(variables)] if variables else []), *parts])

    def _export(self, name: str, row: ExportRow) -> str:
        own = name.rpartition(".")[2]
        if row.alias_of is not None:
            return f"{own} = {row.alias_of}\n" if self._package.find(name) else self._miss(name)
        if row.stability not in _MEANT or row.stability is None:
            return ""
        found = self._package.find(name)
        self._at = (name, row.stability)
        match found:
            case griffe.Class():
                if (first := self._public[found.path]) != name:
                    return f"{own} = {first}\n"
                return self._class(name, own, found, row.stability, frozenset(row.experimental))
            case griffe.Function():
                return f"@{row.stability}\n{self._function(own, found, '')}"
            case griffe.Attribute():
                annotation = self._annotations.text(found.annotation) or _type_of(found)
                return f"{own}: {row.stability}[{annotation}]\n"
            case _:
                return self._miss(name)

    def _miss(self, name: str) -> str:
        self.missing.append(name)
        return ""

    def _class(
        self, name: str, own: str, cls: griffe.Class, label: Stability, experimental: frozenset[str]
    ) -> str:
        self._at = (name, label)
        lines = [f"@{label}", f"class {own}({', '.join(self._bases(cls))}):".replace("()", "")]
        for member, found in self._members(cls).items():
            own_label = Stability.EXPERIMENTAL if member in experimental else label
            self._at = (f"{name}.{member}", own_label)
            marked = "" if own_label is label else f"    @{own_label}\n"
            match found:
                case griffe.Function():
                    lines.append(f"{marked}{self._function(member, found, '    ')}".rstrip())
                case griffe.Attribute():
                    lines.append(self._attribute(member, found, marked))
                case _:
                    pass
        if "NamedTuple" in " ".join(self._bases(cls)):
            lines += self._tuple(cls)
        lines += _compared(cls)
        if len(lines) == 2:  # noqa: PLR2004
            lines[1] += " ..."
        return "\n".join(lines) + "\n"

    def _bases(self, cls: griffe.Class) -> list[str]:
        """What a class is a kind of; what those are is written there."""
        found: dict[str, None] = {}
        for base in cls.bases:
            path = base.canonical_path if isinstance(base, griffe.Expr) else base
            target = self._package.find(path)
            if not isinstance(target, griffe.Class) or target.path in self._public:
                found.setdefault(self._annotations.text(base))
                continue
            # Nobody can name that class; but its bases may be ones that users know.
            for text in self._bases(target):
                if not text.startswith(("Generic[", "Protocol")):
                    found.setdefault(text)
        return list(found)

    def _members(self, cls: griffe.Class) -> Mapping[str, griffe.Object]:
        """What is not written for a public class that this one derives from."""
        found = members(cls)
        known = [members(each) for each in family(cls)[1:] if each.path in self._public]
        return {
            name: member
            for name, member in found.items()
            if name not in _HIDDEN
            and (not name.startswith("_") or (name.startswith("__") and name.endswith("__")))
            and not any(each.get(name) is member for each in known)
        }

    def _tuple(self, cls: griffe.Class) -> Iterator[str]:
        fields = [name for name, each in cls.members.items() if isinstance(each, griffe.Attribute)]
        yield f"    __match_args__ = {tuple(fields)!r}"

    def _attribute(self, name: str, attribute: griffe.Attribute, marked: str) -> str:
        annotation = self._annotations.text(attribute.annotation)
        if "property" in attribute.labels:
            lines = f"{marked}    @property\n    def {name}(self) -> {annotation or 'Any'}: ..."
            if attribute.setter is not None:
                lines += f"\n    @{name}.setter\n    def {name}(self, value: Any) -> None: ..."
            return lines
        annotation = annotation or _type_of(attribute)
        if marked:
            annotation = f"Experimental[{annotation}]"
        value = f" = {attribute.value}" if _is_constant(attribute) else ""
        return f"    {name}: {annotation}{value}"

    def _function(self, name: str, function: griffe.Function, indent: str) -> str:
        lines: list[str] = []
        for each in function.overloads or ():
            lines += [f"{indent}@overload", f"{indent}{self._signature(name, each)}"]
        if not lines:
            lines = [f"{indent}{self._signature(name, function)}"]
        kinds = [kind for kind in ("staticmethod", "classmethod") if kind in function.labels]
        decorated = [f"{indent}@{kind}" for kind in kinds]
        return "\n".join([*decorated, *lines]) + "\n"

    def _signature(self, name: str, function: griffe.Function) -> str:
        parameters = ", ".join(self._parameters(function))
        returns = self._annotations.text(function.returns) or "Any"
        word = "async def" if "async" in function.labels else "def"
        return f"{word} {name}({parameters}) -> {returns}: ..."

    def _parameters(self, function: griffe.Function) -> Iterator[str]:
        kinds = griffe.ParameterKind
        previous: griffe.ParameterKind | None = None
        starred = False
        for parameter in function.parameters:
            kind = parameter.kind
            if previous is kinds.positional_only and kind is not kinds.positional_only:
                yield "/"
            if kind is kinds.keyword_only and not starred:
                yield "*"
                starred = True
            starred = starred or kind is kinds.var_positional
            previous = kind
            yield self._parameter(parameter)
        if previous is kinds.positional_only:
            yield "/"

    def _parameter(self, parameter: griffe.Parameter) -> str:
        kinds = griffe.ParameterKind
        stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}
        text = stars.get(parameter.kind, "") + parameter.name
        annotation = self._annotations.text(parameter.annotation)
        if annotation:
            text += f": {annotation}"
        if parameter.default is not None and parameter.kind not in stars:
            text += f" = {parameter.default}" if annotation else f"={parameter.default}"
        return text


def _is_constant(attribute: griffe.Attribute) -> bool:
    """Whether the value of an attribute is promised: the member of an enum, a kind."""
    # griffe takes an annotated name of a class for one of its objects too, unless it is a ClassVar.
    own = attribute.annotation is None or "instance-attribute" not in attribute.labels
    return own and "class-attribute" in attribute.labels and isinstance(attribute.value, str)


def _type_of(attribute: griffe.Attribute) -> str:
    """The type of an attribute without an annotation: that of its literal."""
    if not isinstance(attribute.value, str):
        return "Any"
    try:
        value: object = ast.literal_eval(attribute.value)
    except (SyntaxError, ValueError):
        return "Any"
    return "Any" if value is None else type(value).__name__


def _compared(cls: griffe.Class) -> Iterator[str]:
    """What the nearest decorator of a dataclass gives: comparing, and hashing what is frozen."""
    for each in family(cls):
        for decorator in each.decorators:
            call = str(decorator.value)
            if decorator.callable_path != "dataclasses.dataclass":
                continue
            if "eq=False" not in call:
                yield "    def __eq__(self, other: object) -> bool: ..."
                if "frozen=True" in call:
                    yield "    def __hash__(self) -> int: ..."
            if "order=True" in call:
                yield "    def __lt__(self, other: Self) -> bool: ..."
            return


def surface_of(root: Path, metadata: Metadata) -> Surface:
    """What users see of the package of a repository.

    Raises:
        SourceError: The package cannot be read.
    """
    return Surface(Package(root), metadata)
