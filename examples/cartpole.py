"""The environment `CartPole-v1` as type checkers see it.

Written by `rlmesh typegen`; do not edit.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import rlmesh

FINGERPRINT: Final = "7f7e4e6eb5e3cf6e13fc8fff5e355de9362dea8786f010d3a39282f8632b558f"
"""The fingerprint of the contract that these types were written for."""

Observation: TypeAlias = npt.NDArray[np.float32]
"""Box, shape (4,), float32, [-4.8, -inf, -0.418879, -inf] to [4.8, inf, 0.418879, inf]
(Stable).
"""

Action: TypeAlias = Literal[0, 1] | np.integer[Any]
"""Discrete, shape (), int64, 0 to 1 (Stable)."""

_JSON = r"""
{
  "id": "CartPole-v1",
  "vector": false,
  "observation_space": {"kind": "box", "dtype": "float32", "shape": [4], "low": [-4.800000190734863, "-Infinity", -0.41887903213500977, "-Infinity"], "high": [4.800000190734863, "Infinity", 0.41887903213500977, "Infinity"], "bounded_below": [], "bounded_above": []},
  "action_space": {"kind": "discrete", "n": 2, "start": 0, "dtype": "int64"},
  "num_envs": 1,
  "autoreset_mode": null,
  "render_mode": null,
  "metadata": {"render_modes": ["human", "rgb_array"], "render_fps": 50},
  "spec": {"id": "CartPole-v1", "reward_threshold": 475.0, "nondeterministic": false, "max_episode_steps": 500, "order_enforce": true, "disable_env_checker": false, "kwargs": {}},
  "batched_observation_space": null,
  "batched_action_space": null,
  "delivers_nan": false,
  "agents": null
}
"""

CONTRACT: Final = rlmesh.EnvContract.from_json(_JSON)
"""The contract; the client refuses an endpoint that breaks it."""


class CartPoleV1Env(rlmesh.RemoteEnv[Observation, Action]):
    """Drives `CartPole-v1`.

    Its arguments are those of `rlmesh.RemoteEnv`. It refuses an endpoint whose contract
    breaks these types, with a `rlmesh.errors.ContractMismatchError`.
    """

    expected_contract: ClassVar[rlmesh.EnvContract | None] = CONTRACT
