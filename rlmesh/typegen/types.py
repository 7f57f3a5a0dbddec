"""The types of an observation or action: an alias or a TypedDict for each space that needs one."""

from __future__ import annotations

from collections.abc import Sequence

from rlmesh.spaces.paths import ROOT, child_place
from rlmesh.spaces.summary import summarize
from rlmesh.typegen.leaves import Role, leaf_type
from rlmesh.typegen.names import WIDTH, Names, docstring, is_attribute, quoted
from rlmesh_api.contract import DictSpace, Space, TupleSpace
from rlmesh_api.stability import SPACES

# A longer annotation gets a name.
_LONGEST_ANNOTATION = 32
_STABILITY = {row.kind: row.stability.value for row in SPACES.values() if row.kind is not None}


class TypeWriter:
    """Writes the definitions of types.

    Attributes:
        definitions: The text of each, in an order in which each may refer to those before it.
        annotations: Every annotation that stands in them.
    """

    def __init__(self, names: Names, role: Role, num_envs: int | None) -> None:
        self.definitions: list[str] = []
        self.annotations: list[str] = []
        self._names = names
        self._role: Role = role
        self._num_envs = num_envs

    def define(self, name: str, space: Space, place: str = ROOT) -> None:
        """Defines the type of a space's values under a name."""
        if isinstance(space, DictSpace):
            self._define_dict(name, space, place)
        elif isinstance(space, TupleSpace):
            self._define_tuple(name, space, place)
        else:
            annotation = leaf_type(space, self._role, self._num_envs)
            self.annotations.append(annotation)
            self._add(_alias(name, annotation), docstring("", self._says(space, place)))

    def _define_tuple(self, name: str, space: TupleSpace, place: str) -> None:
        places = [child_place(place, index) for index in range(len(space.spaces))]
        annotations = [
            self._part(name, index, part, places[index]) for index, part in enumerate(space.spaces)
        ]
        items = [f"- [{index}]: {self._says(part)}" for index, part in enumerate(space.spaces)]
        paragraphs = [self._says(space, place), *(["\n".join(items)] if items else [])]
        self._add(_tuple_alias(name, annotations), docstring("", *paragraphs))

    def _define_dict(self, name: str, space: DictSpace, place: str) -> None:
        says = {entry.key: self._says(entry.space) for entry in space.entries}
        head = self._says(space, place)
        items = "\n".join(f"- {quoted(key)}: {text}" for key, text in says.items())
        if "" in says:
            # pyright knows no TypedDict with an empty key.
            self.annotations.append("Any")
            self._add(_alias(name, "dict[str, Any]"), docstring("", head, items))
            return
        parts = {
            entry.key: self._part(name, entry.key, entry.space, child_place(place, entry.key))
            for entry in space.entries
        }
        self.annotations.append("TypedDict")
        if all(map(is_attribute, parts)):
            fields = [
                f"    {key}: {annotation}\n{docstring('    ', says[key])}"
                for key, annotation in parts.items()
            ]
            body = [docstring("    ", head), *([""] if fields else []), *fields]
            self._add("\n".join([f"class {name}(TypedDict):", *body]))
            return
        fields = [f"        {quoted(key)}: {annotation}," for key, annotation in parts.items()]
        lines = [f"{name} = TypedDict(", f'    "{name}",', "    {", *fields, "    },", ")"]
        self._add("\n".join(lines), docstring("", head, items))

    def _part(self, parent: str, key: str | int, space: Space, place: str) -> str:
        """The annotation of a part, which has a name where it is no short one."""
        if not isinstance(space, DictSpace | TupleSpace):
            annotation = leaf_type(space, self._role, self._num_envs)
            width = WIDTH - len(f"        {quoted(key)}: ," if isinstance(key, str) else "")
            if len(annotation) <= min(_LONGEST_ANNOTATION, width):
                self.annotations.append(annotation)
                return annotation
        name = self._names.child(parent, key)
        self.define(name, space, place)
        return name

    def _says(self, space: Space, place: str | None = None) -> str:
        """What a space is, in one sentence."""
        summary = summarize(space)
        shape = _with_sub_envs(summary.shape, self._num_envs) if summary.shape else ""
        parts = [
            summary.name if place in (None, ROOT) else f"`{place}`: {summary.name}",
            *([f"shape {shape}"] if shape else []),
            *([summary.dtype] if summary.dtype else []),
            summary.values,
        ]
        return f"{', '.join(parts)} ({_STABILITY[space.kind]})."

    def _add(self, *texts: str) -> None:
        self.definitions.append("\n".join(texts))


def _with_sub_envs(shape: str, num_envs: int | None) -> str:
    if num_envs is None:
        return shape
    axes = [axis for axis in shape.strip("()").replace(" ", "").split(",") if axis]
    return f"({', '.join([str(num_envs), *axes])}{',' * (not axes)})"


def _alias(name: str, annotation: str) -> str:
    line = f"{name}: TypeAlias = {annotation}"
    if len(line) <= WIDTH or not annotation.startswith("Literal["):
        return line
    listed, _, rest = annotation.removeprefix("Literal[").partition("]")
    values = [f"        {value}," for value in listed.split(", ")]
    lines = [f"{name}: TypeAlias = (", "    Literal[", *values, "    ]", f"   {rest}", ")"]
    return "\n".join(lines)


def _tuple_alias(name: str, annotations: Sequence[str]) -> str:
    line = f"{name}: TypeAlias = tuple[{', '.join(annotations) or '()'}]"
    if len(line) <= WIDTH:
        return line
    # These are two or more: a comma after a single one would make another type of it.
    parts = [f"    {annotation}," for annotation in annotations]
    return "\n".join([f"{name}: TypeAlias = tuple[", *parts, "]"])
