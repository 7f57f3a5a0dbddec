"""The `spec` and `metadata` of a client, which Gymnasium's own code reads."""

from __future__ import annotations

import copy
from typing import Any

from gymnasium.envs.registration import EnvSpec, registry
from gymnasium.vector import AutoresetMode

from rlmesh import contract as contract_module
from rlmesh.contract import EnvContract


def local_spec(contract: EnvContract) -> EnvSpec | None:
    """The spec of the environment, if the same id is registered in this process.

    A spec's `make` makes an environment here: only a spec of this process may say how. A server is
    not trusted with the name of something to import, so where the environment is not installed
    there is no spec, as for every environment that is not registered; `env_contract.spec` tells
    what its registration says.
    """
    served = contract.spec
    known = registry.get(contract.id)
    if served is None or known is None:
        return None
    spec = copy.deepcopy(known)
    spec.reward_threshold = served.reward_threshold
    spec.nondeterministic = served.nondeterministic
    spec.max_episode_steps = served.max_episode_steps
    spec.order_enforce = served.order_enforce
    spec.disable_env_checker = served.disable_env_checker
    spec.kwargs = dict(served.kwargs)
    return spec


def local_metadata(
    contract: EnvContract, autoreset: contract_module.AutoresetMode | None = None
) -> dict[str, Any]:
    """The environment's metadata, the autoreset mode of a vector environment's session included."""
    metadata = copy.deepcopy(dict(contract.metadata))
    mode = autoreset or contract.autoreset_mode
    if mode is not None:
        metadata["autoreset_mode"] = AutoresetMode[mode.name]
    return metadata
