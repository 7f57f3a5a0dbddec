"""Writes classes and functions of the package as stubs, and remembers what they show."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import griffe

from codegen.runtime._stability import Stability
from codegen.stability.annotations import Annotations
from codegen.stability.source_package import Package, family, members

_HIDDEN = frozenset(
    {"__all__", "__doc__", "__init_subclass__", "__match_args__", "__module__", "__post_init__"}
    | {"__del__", "__repr__", "__slots__", "__str__"}
)
"""Special names that say nothing to a caller, or that are written in another way."""


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


class Writer:
    """Writes stubs.

    Attributes:
        annotations: Writes types and values.
        shown: Which classes were shown so far, and by what.
    """

    def __init__(self, package: Package, public: Mapping[str, str]) -> None:
        """Begin.

        Args:
            package: What is written.
            public: The public name of each thing that has one, by where it is defined.
        """
        self.annotations = Annotations(package, self._name_of)
        self.shown: list[Shown] = []
        self._package = package
        self._public = public
        self._at: tuple[str, Stability] = ("", Stability.STABLE)

    def name_of(self, cls: griffe.Class) -> str:
        """The public name of a class, or else where it is defined."""
        return self._public.get(cls.path, cls.path)

    def constant(self, name: str, attribute: griffe.Attribute, label: Stability) -> str:
        """A constant of a module; its value is not promised."""
        self._at = (name, label)
        annotation = self.annotations.text(attribute.annotation) or _type_of(attribute)
        return f"{name.rpartition('.')[2]}: {label}[{annotation}]\n"

    def function(self, name: str, function: griffe.Function, label: Stability) -> str:
        """A function of a module."""
        self._at = (name, label)
        return f"@{label}\n{self._function(name.rpartition('.')[2], function, '')}"

    def cls(
        self, name: str, cls: griffe.Class, label: Stability, experimental: frozenset[str]
    ) -> str:
        """A class.

        Args:
            name: Its full name.
            cls: What it is.
            label: How stable it is.
            experimental: Which of its members are less stable.
        """
        self._at = (name, label)
        own = name.rpartition(".")[2]
        bases = self._bases(cls)
        lines = [f"@{label}", f"class {own}({', '.join(bases)}):".replace("()", "")]
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
        if "NamedTuple" in bases:
            lines += self._tuple(cls)
        lines += _compared(cls)
        if len(lines) == 2:
            lines[1] += " ..."
        return "\n".join(lines) + "\n"

    def _name_of(self, cls: griffe.Class) -> str:
        by, label = self._at
        self.shown.append(Shown(by, label, cls))
        return self.name_of(cls)

    def _bases(self, cls: griffe.Class) -> list[str]:
        """What a class is a kind of; what those are is written there."""
        found: dict[str, None] = {}
        for base in cls.bases:
            path = base.canonical_path if isinstance(base, griffe.Expr) else base
            target = self._package.find(path)
            if not isinstance(target, griffe.Class) or target.path in self._public:
                found.setdefault(self.annotations.text(base))
                continue
            # That class has no public name, but its bases may have one.
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
        annotation = self.annotations.text(attribute.annotation)
        if "property" in attribute.labels:
            lines = f"{marked}    @property\n    def {name}(self) -> {annotation or 'Any'}: ..."
            if attribute.setter is not None:
                lines += f"\n    @{name}.setter\n    def {name}(self, value: Any) -> None: ..."
            return lines
        annotation = annotation or _type_of(attribute)
        if isinstance(attribute.parent, griffe.Class) and _is_typed_dict(attribute.parent):
            annotation = _key(annotation, attribute.parent)
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
        returns = self.annotations.text(function.returns) or "Any"
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
        is_rest = parameter.kind in {kinds.var_positional, kinds.var_keyword}
        text = parameter.name
        if is_rest:
            text = f"{'*' if parameter.kind is kinds.var_positional else '**'}{text}"
        annotation = self.annotations.text(parameter.annotation)
        if annotation:
            text += f": {annotation}"
        if parameter.default is not None and not is_rest:
            text += f" = {parameter.default}" if annotation else f"={parameter.default}"
        return text


def _is_typed_dict(cls: griffe.Class) -> bool:
    bases = (base for each in family(cls) for base in each.bases)
    return any(str(getattr(base, "name", base)) == "TypedDict" for base in bases)


def _key(annotation: str, cls: griffe.Class) -> str:
    """The type of a key that a TypedDict declares, and whether it must be there."""
    if annotation.startswith(("Required[", "NotRequired[")):
        return annotation
    needed = str(cls.keywords.get("total")) != "False"
    return f"{'Required' if needed else 'NotRequired'}[{annotation}]"


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
