"""The `spec` and `metadata` of a client, which Gymnasium's own code reads."""

from __future__ import annotations

import copy
from typing import Any, NoReturn

import gymnasium
from gymnasium.envs.registration import EnvSpec, registry
from gymnasium.vector import AutoresetMode

from rlmesh import contract as contract_module
from rlmesh.contract import EnvContract
from rlmesh.errors import InvalidEnvError
from rlmesh.spaces.conversions import CONVERSIONS


def local_spec(contract: EnvContract) -> EnvSpec | None:
    """The spec of the environment; None where the environment has none.

    A spec's `make` makes an environment here: only a spec of this process may say how. A server is
    not trusted with the name of something to import. So where no environment of that id is
    registered in this process, the spec has what the contract says, and `gymnasium.make` refuses
    it.
    """
    served = contract.spec
    if served is None:
        return None
    known = registry.get(contract.id)
    try:
        spec = copy.deepcopy(known) if known else EnvSpec(contract.id, entry_point=_REFUSING)
    except gymnasium.error.Error:
        # The id has no form that Gymnasium reads.
        return None
    spec.reward_threshold = served.reward_threshold
    spec.nondeterministic = served.nondeterministic
    spec.max_episode_steps = served.max_episode_steps
    spec.order_enforce = served.order_enforce
    spec.disable_env_checker = served.disable_env_checker
    spec.kwargs = dict(served.kwargs)
    return spec


def refuse_to_make(**_: Any) -> NoReturn:
    """Stands in a client's `spec` for what makes the environment, where it is not registered.

    Raises:
        InvalidEnvError: Always.
    """
    raise InvalidEnvError(
        "this spec belongs to a client of RLMesh and describes the environment of its server. No "
        "environment of that id is registered in this process, so it cannot be made here; connect "
        "another client with rlmesh.RemoteEnv(address), or import the package that registers the "
        "environment"
    )


_REFUSING = f"{__name__}:{refuse_to_make.__name__}"


def local_metadata(
    contract: EnvContract, autoreset: contract_module.AutoresetMode | None = None
) -> dict[str, Any]:
    """The environment's metadata, the autoreset mode of a vector environment's session included."""
    metadata = copy.deepcopy(dict(contract.metadata))
    # What the server says about its own work is no part of the environment.
    metadata.pop(CONVERSIONS, None)
    mode = autoreset or contract.autoreset_mode
    if mode is not None:
        metadata["autoreset_mode"] = AutoresetMode[mode.name]
    return metadata
