"""The module for one environment."""

from __future__ import annotations

import itertools
import json
import keyword

from rlmesh.contract import EnvContract
from rlmesh.errors import InvalidArgumentError
from rlmesh.typegen.names import ACTION, LONGEST_NAME, OBSERVATION, Names, camel_case, docstring
from rlmesh.typegen.types import TypeWriter

_OWN = (OBSERVATION, ACTION)
_TYPING = ("Any", "ClassVar", "Final", "Literal", "TypeAlias", "TypedDict")

_FINGERPRINT = '''\
FINGERPRINT: Final = "{}"
"""The fingerprint of the contract that these types were written for."""'''
_CONTRACT = '''\
_JSON = r"""
{}
"""

CONTRACT: Final = rlmesh.EnvContract.from_json(_JSON)
"""The contract; the client refuses an endpoint that breaks it."""'''


def render_module(contract: EnvContract, class_name: str | None = None) -> str:
    """The text of a module with the types of an environment, and a client that carries them.

    It depends on the contract and the class's name alone, and is formatted.

    Args:
        contract: The contract of the environment.
        class_name: What the client's class is called. None: after the environment's id.

    Raises:
        InvalidArgumentError: If the class cannot have that name.
    """
    client = _client_name(contract) if class_name is None else _checked(class_name)
    names = Names([*_OWN, client])
    num_envs = contract.num_envs if contract.vector else None
    observation = TypeWriter(names, "observation", num_envs)
    observation.define(OBSERVATION, contract.observation_space)
    action = TypeWriter(names, "action", num_envs)
    action.define(ACTION, contract.action_space)
    definitions = [*observation.definitions, *action.definitions]
    blocks = [
        _FINGERPRINT.format(contract.fingerprint),
        *definitions,
        _CONTRACT.format(_json(contract)),
        _client(contract, client),
    ]
    return "\n".join(
        [
            docstring(
                "",
                f"The environment {_code(contract.id)} as type checkers see it.",
                "Written by `rlmesh typegen`; do not edit.",
            ),
            "",
            "from __future__ import annotations",
            "",
            _imports([*observation.annotations, *action.annotations], definitions),
            "",
            _spaced(blocks),
            "",
        ]
    )


def _imports(annotations: list[str], definitions: list[str]) -> str:
    used = {"ClassVar", "Final"}
    if any(": TypeAlias = " in text.partition("\n")[0] for text in definitions):
        used.add("TypeAlias")
    for name in ("Any", "Literal", "TypedDict"):
        if any(name in annotation for annotation in annotations):
            used.add(name)
    numpy = any("np." in annotation for annotation in annotations)
    arrays = any("npt." in annotation for annotation in annotations)
    return "\n".join(
        [
            f"from typing import {', '.join(name for name in _TYPING if name in used)}",
            "",
            *(["import numpy as np"] if numpy else []),
            *(["import numpy.typing as npt"] if arrays else []),
            "import rlmesh",
        ]
    )


def _spaced(blocks: list[str]) -> str:
    """The blocks, with as many blank lines between two as a class asks for."""
    text = blocks[0]
    for before, after in itertools.pairwise(blocks):
        is_class = after.startswith("class ") or before.startswith("class ")
        text += f"\n\n{chr(10) * is_class}{after}"
    return text


def _client(contract: EnvContract, name: str) -> str:
    base = "RemoteVectorEnv" if contract.vector else "RemoteEnv"
    num_envs = f", {contract.num_envs} sub-environments side by side" if contract.vector else ""
    says = docstring(
        "    ",
        f"Drives {_code(contract.id)}{num_envs}.",
        f"Its arguments are those of `rlmesh.{base}`. It refuses an endpoint whose contract breaks "
        f"these types, with a `rlmesh.errors.ContractMismatchError`.",
    )
    return "\n".join(
        [
            f"class {name}(rlmesh.{base}[{OBSERVATION}, {ACTION}]):",
            says,
            "",
            "    expected_contract: ClassVar[rlmesh.EnvContract | None] = CONTRACT",
        ]
    )


def _json(contract: EnvContract) -> str:
    """The contract as JSON, with a line for each of its fields."""
    fields = [
        f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in contract.to_dict().items()
    ]
    return "\n".join(["{", ",\n".join(fields), "}"])


def _code(name: str) -> str:
    """An id in a docstring, whatever characters it is made of."""
    return f"`{json.dumps(name)[1:-1]}`"


def _client_name(contract: EnvContract) -> str:
    suffix = "VectorEnv" if contract.vector else "Env"
    name = f"{camel_case(contract.id)[: LONGEST_NAME - len(suffix)]}{suffix}"
    return name if name.isidentifier() else f"The{name}"


def _checked(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name) or name in (*_OWN, *_TYPING, "CONTRACT"):
        raise InvalidArgumentError(
            f"a class cannot be named {name!r} in this module; give a Python name that is none of "
            f"{', '.join(_OWN)}"
        )
    return name
