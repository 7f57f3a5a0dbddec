"""What must hold between the sources of truth; each rule yields one line for each offence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from codegen.contract_model import ROOTS
from codegen.metadata import Metadata
from codegen.model import Schema
from codegen.render.schema_pages import label_of
from codegen.runtime._stability import Stability

SPACE_UNION = "Space"
"""The message whose arms are the spaces."""

SPACES_MODULE = "rlmesh.spaces"
"""The module that exports the space classes."""

PACKAGE = "rlmesh"
"""The module that exports the contract classes."""

_METADATA = "api_metadata.json"
_ORDER = list(Stability)


def offences(schema: Schema, metadata: Metadata) -> list[str]:
    """Where the sources disagree; nothing when they agree."""
    return [
        *_uncommented(schema),
        *_duplicates(metadata),
        *_arms_without_rows(schema, metadata),
        *_space_exports(metadata),
        *_dangling(metadata),
        *_less_stable(metadata),
        *_contract_labels(schema, metadata),
    ]


def _contract_labels(schema: Schema, metadata: Metadata) -> Iterator[str]:
    """The comment of a contract ends with the label of its class, unless that is Stable."""
    exports = metadata.exports()
    for root in ROOTS:
        name = f"{PACKAGE}.{root}"
        if root not in schema.messages or name not in exports:
            continue
        own, label = label_of(schema.messages[root].comment), exports[name].stability
        if own is not label:
            yield (
                f"{_METADATA}: {name} is {label}, and the comment of the message {root} says "
                f"{own}; "
                "give both the same label"
            )


def _uncommented(schema: Schema) -> Iterator[str]:
    for place, comment in schema.commented():
        if not comment:
            yield f"{place} has no comment; say what it means, and what its absence means"


def _duplicates(metadata: Metadata) -> Iterator[str]:
    spaces = metadata.spaces
    yield from _twice("Gymnasium space", (row.gymnasium for row in spaces))
    yield from _twice("RLMesh space", (row.rlmesh for row in spaces if row.rlmesh is not None))
    yield from _twice("arm", (row.kind for row in spaces if row.kind is not None))
    yield from _twice("module", (module.name for module in metadata.modules))
    yield from _twice("metric", (row.name for row in metadata.metrics))
    yield from _twice(
        "export",
        (f"{module.name}.{row.name}" for module in metadata.modules for row in module.exports),
    )


def _twice(word: str, names: Iterable[str]) -> Iterator[str]:
    listed = list(names)
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        yield f"{_METADATA}: the {word} {name} is listed twice; remove one"


def _arms_without_rows(schema: Schema, metadata: Metadata) -> Iterator[str]:
    union = schema.messages.get(SPACE_UNION)
    if union is None:
        yield f"{SPACE_UNION}: the schema lacks this message; its arms are the spaces"
        return
    arms = [field.name for field in union.fields]
    rows = {row.kind: row for row in metadata.spaces if row.kind is not None}
    for arm in arms:
        if arm not in rows:
            yield (
                f"{union.file}: the arm {SPACE_UNION}.{arm} has no row in {_METADATA}; "
                "add one to its spaces"
            )
    for kind, row in rows.items():
        if kind not in arms:
            yield (
                f"{_METADATA}: the space {row.gymnasium} names the arm {kind}, which the message "
                f"{SPACE_UNION} lacks; add the arm, or mark the space as not supported"
            )


def _space_exports(metadata: Metadata) -> Iterator[str]:
    """A space class has the label of its row."""
    exports = metadata.exports()
    for row in metadata.spaces:
        name = f"{SPACES_MODULE}.{row.rlmesh}"
        if row.rlmesh is None:
            continue
        if name not in exports:
            yield f"{_METADATA}: the space {row.gymnasium} needs the export {name}; list it"
        elif exports[name].stability != row.stability:
            yield (
                f"{_METADATA}: {name} is {exports[name].stability} and its space {row.stability}; "
                "give both the same label"
            )


def _dangling(metadata: Metadata) -> Iterator[str]:
    exports = metadata.exports()
    for name, row in exports.items():
        for other in row.refers_to:
            if other not in exports:
                yield f"{_METADATA}: {name} refers to {other}, which is not listed; list it"
        if row.alias_of is not None and (
            row.alias_of not in exports or exports[row.alias_of].alias_of is not None
        ):
            yield (
                f"{_METADATA}: {name} is an alias of {row.alias_of}, which is not listed with a "
                "label of its own; list it"
            )


def _less_stable(metadata: Metadata) -> Iterator[str]:
    """Nothing is more stable than what it refers to, nor than the module that it stands in."""
    exports = metadata.exports()
    labels = {
        name: row.stability
        for name, row in exports.items()
        if row.stability is not None  # an alias has the label of another row, which is checked
    }
    for name, label in labels.items():
        for other in exports[name].refers_to:
            if other in labels and _ORDER.index(labels[other]) > _ORDER.index(label):
                yield (
                    f"{_METADATA}: {name} is {label} and refers to {other}, which is "
                    f"{labels[other]}; raise the label of the one or lower that of the other"
                )
    for module in metadata.modules:
        for row in module.exports:
            own = labels.get(row.alias_of or f"{module.name}.{row.name}")
            if own is not None and _ORDER.index(module.stability) > _ORDER.index(own):
                yield (
                    f"{_METADATA}: {module.name}.{row.name} is {own} in a module that is "
                    f"{module.stability}; raise the label of the module or lower that of the export"
                )
