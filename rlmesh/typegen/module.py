"""The module for one environment, or one model."""

from __future__ import annotations

import itertools
import json
import keyword
from typing import TypeGuard

from rlmesh.contract import EnvContract, ModelContract
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

CONTRACT: Final = rlmesh.{}.from_json(_JSON)
"""The contract; the client refuses an endpoint that breaks it."""'''


def render_module(contract: EnvContract | ModelContract, class_name: str | None = None) -> str:
    """The text of a module with the types of an endpoint, and a client that carries them.

    It depends on the contract and the class's name alone, and is formatted.

    Args:
        contract: The contract of the environment, or of the model.
        class_name: What the client's class is called. None: after the contract's id.

    Raises:
        InvalidArgumentError: If the class cannot have that name, or if it is an environment of many
            agents.
    """
    if isinstance(contract, EnvContract) and contract.agents is not None:
        raise InvalidArgumentError(
            f"{contract.id} is an environment of many agents, and typegen writes types for "
            f"environments of one agent and for models only; drive it with "
            f"rlmesh.RemoteParallelEnv(address, expect=...), where expect is its contract"
        )
    client = _client_name(contract) if class_name is None else _checked(class_name)
    names = Names([*_OWN, client])
    num_envs = contract.num_envs if _is_vector(contract) else None
    observation = TypeWriter(names, "observation", num_envs)
    observation.define(OBSERVATION, contract.observation_space)
    action = TypeWriter(names, "action", num_envs)
    action.define(ACTION, contract.action_space)
    definitions = [*observation.definitions, *action.definitions]
    blocks = [
        _FINGERPRINT.format(contract.fingerprint),
        *definitions,
        _CONTRACT.format(_json(contract), type(contract).__name__),
        _client(contract, client),
    ]
    return "\n".join(
        [
            docstring(
                "",
                f"The {_noun(contract)} {_code(contract.id)} as type checkers see it.",
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


def _is_vector(contract: EnvContract | ModelContract) -> TypeGuard[EnvContract]:
    return isinstance(contract, EnvContract) and contract.vector


def _noun(contract: EnvContract | ModelContract) -> str:
    return "environment" if isinstance(contract, EnvContract) else "model"


def _client(contract: EnvContract | ModelContract, name: str) -> str:
    if _is_vector(contract):
        base, verb = "RemoteVectorEnv", "Drives"
        more = f", {contract.num_envs} sub-environments side by side"
    else:
        env = isinstance(contract, EnvContract)
        base, verb, more = "RemoteEnv" if env else "RemoteModel", "Drives" if env else "Asks", ""
    says = docstring(
        "    ",
        f"{verb} {_code(contract.id)}{more}.",
        f"Its arguments are those of `rlmesh.{base}`. It refuses an endpoint whose contract breaks "
        f"these types, with a `rlmesh.errors.ContractMismatchError`.",
    )
    return "\n".join(
        [
            f"class {name}(rlmesh.{base}[{OBSERVATION}, {ACTION}]):",
            says,
            "",
            f"    expected_contract: ClassVar[rlmesh.{type(contract).__name__} | None] = CONTRACT",
        ]
    )


def _json(contract: EnvContract | ModelContract) -> str:
    """The contract as JSON, with a line for each of its fields."""
    fields = [
        f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in contract.to_dict().items()
    ]
    return "\n".join(["{", ",\n".join(fields), "}"])


def _code(name: str) -> str:
    """An id in a docstring, whatever characters it is made of."""
    return f"`{json.dumps(name)[1:-1]}`"


def _client_name(contract: EnvContract | ModelContract) -> str:
    if isinstance(contract, EnvContract):
        suffix = "VectorEnv" if contract.vector else "Env"
    else:
        suffix = "Model"
    name = f"{camel_case(contract.id)[: LONGEST_NAME - len(suffix)]}{suffix}"
    return name if name.isidentifier() else f"The{name}"


def _checked(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name) or name in (*_OWN, *_TYPING, "CONTRACT"):
        raise InvalidArgumentError(
            f"a class cannot be named {name!r} in this module; give a Python name that is none of "
            f"{', '.join(_OWN)}"
        )
    return name
