"""From the sources of truth to the text of every generated file."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from codegen import runtime
from codegen.contract_model import read_contract
from codegen.descriptors import read_schema
from codegen.errors import SourceError
from codegen.formatting import format_python
from codegen.metadata import Metadata, load_metadata
from codegen.model import Schema
from codegen.protoc import run_protoc
from codegen.render.api_pages import reference_path, render_api_page, render_reference_page
from codegen.render.contract import render_contract
from codegen.render.descriptors import render_descriptors
from codegen.render.json_schema import SCHEMA_FILES, render_json_schema
from codegen.render.metadata_pages import (
    render_conformance_page,
    render_metrics_page,
    render_spaces_page,
)
from codegen.render.schema_pages import (
    render_contract_page,
    render_errors_page,
    render_protocol_page,
    schema_labels,
    space_labels,
)
from codegen.render.stability import render_stability
from codegen.rules import offences

Tree = dict[str, str]
"""The text of every file, by its path under generated/."""

PACKAGE = "rlmesh_api"
LEGACY = "legacy/rlmesh_legacy_server/_generated"
"""The folder of what the server for old interpreters has of the schema."""

_ERROR_CODES = "ErrorCode"
_ERRORS_MODULE = "rlmesh.errors"


def generate(root: Path) -> Tree:
    """Every file that belongs into generated/.

    Args:
        root: The repository.

    Raises:
        SourceError: The sources are damaged, or disagree.
    """
    schema_root = root / "schema"
    metadata = load(root)
    schema, stubs, _ = _compiled(_protos(schema_root))
    if problems := offences(schema, metadata):
        raise SourceError(problems)
    tree = dict(stubs) | _runtime() | _modules(schema, metadata) | _pages(schema, metadata)
    return dict(sorted((tree | _packages(tree)).items()))


def generate_legacy(root: Path) -> Tree:
    """Every file that belongs into `LEGACY`, by its path under that.

    Args:
        root: The repository.

    Raises:
        SourceError: protoc refused the schema.
    """
    _, _, descriptors = _compiled(_protos(root / "schema"))
    text = format_python(render_descriptors(descriptors), "schema.py")
    return {"__init__.py": _LEGACY_DOCSTRING, "schema.py": text}


def _protos(schema_root: Path) -> tuple[tuple[str, bytes], ...]:
    """Every proto with its content, by its path under the folder that import paths start from."""
    return tuple(
        (path.relative_to(schema_root).as_posix(), path.read_bytes())
        for path in sorted(schema_root.rglob("*.proto"))
        if path.is_file()
    )


# Generating for several repositories in turn, as tests do, compiles the same schema once.
@functools.lru_cache(maxsize=2)
def _compiled(
    protos: tuple[tuple[str, bytes], ...],
) -> tuple[Schema, tuple[tuple[str, str], ...], bytes]:
    """The schema, the text of its stubs by path, and its descriptors."""
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "schema"), Path(folder, "out")
        root.mkdir()
        out.mkdir()
        for name, content in protos:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        descriptors = run_protoc(root, out)
        schema = read_schema(descriptors)
        stubs = tuple(
            (path.relative_to(out).as_posix(), path.read_text(encoding="utf-8"))
            for path in out.rglob("*_pb2*")
        )
    return schema, stubs, descriptors.SerializeToString(deterministic=True)


def load(root: Path) -> Metadata:
    """The metadata of a repository.

    Raises:
        SourceError: It is damaged.
    """
    return load_metadata(root / "api_metadata.json", root / "schema" / "api_metadata.schema.json")


def _runtime() -> Tree:
    """The hand-written modules that the package takes over as they are."""
    [folder] = runtime.__path__
    return {
        f"{PACKAGE}/{path.name}": path.read_text(encoding="utf-8")
        for path in Path(folder).glob("_*.py")
        if path.name != "__init__.py"
    }


def _modules(schema: Schema, metadata: Metadata) -> Tree:
    rendered = {
        f"{PACKAGE}/contract.py": render_contract(read_contract(schema)),
        f"{PACKAGE}/stability.py": render_stability(
            metadata.spaces, metadata.published(), metadata.metrics
        ),
    }
    modules = {path: format_python(text, path) for path, text in rendered.items()}
    return modules | {
        path: render_json_schema(read_contract(schema, root)) for root, path in SCHEMA_FILES.items()
    }


def _pages(schema: Schema, metadata: Metadata) -> Tree:
    exports = metadata.published()
    if _ERROR_CODES not in schema.enums or _ERRORS_MODULE not in exports:
        raise SourceError([f"the errors page needs the enum {_ERROR_CODES} and {_ERRORS_MODULE}"])
    contract = read_contract(schema)
    labels = {**space_labels(contract, metadata.spaces), **schema_labels(schema)}
    references = {
        f"docs/{reference_path(module.name)}": render_reference_page(module, exports[module.name])
        for module in metadata.modules
    }
    return references | {
        "docs/api.md": render_api_page(metadata.modules, exports, metadata.commands),
        "docs/contract.md": render_contract_page(contract, labels),
        "docs/errors.md": render_errors_page(schema.enums[_ERROR_CODES], exports[_ERRORS_MODULE]),
        "docs/protocol.md": render_protocol_page(schema, labels),
        "docs/spaces.md": render_spaces_page(metadata.spaces),
        "docs/conformance.md": render_conformance_page(metadata.policies, metadata.findings),
        "docs/metrics.md": render_metrics_page(metadata.metrics),
    }


def _packages(tree: Tree) -> Tree:
    """What makes packages of the folders with modules.

    Without it, another package of the same name that stands later on the path wins in silence.
    """
    folders = {
        parent.as_posix()
        for path in tree
        if path.endswith(".py")
        for parent in Path(path).parents
        if parent.name
    }
    markers = {f"{folder}/__init__.py": _STUBS_DOCSTRING for folder in folders}
    return markers | {f"{PACKAGE}/__init__.py": _PACKAGE_DOCSTRING, f"{PACKAGE}/py.typed": ""}


_LEGACY_DOCSTRING = (
    '"""What `python -m codegen` writes of the schema; nothing is edited by hand."""\n'
)
_PACKAGE_DOCSTRING = '''\
"""The generated half of RLMesh: message stubs, contract classes and stability tables.

Everything in it is written by `python -m codegen`; nothing is edited by hand.
"""
'''
_STUBS_DOCSTRING = (
    '"""The messages and services of one version of the schema, as protoc writes them."""\n'
)
