"""A single environment as the only sub-environment of a vector environment."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from rlmesh_legacy_server.messages import MODE
from rlmesh_legacy_server.results import add_info, split_reset, split_step


class AsVector:
    """Steps a single environment, and resets it as Gymnasium's `SyncVectorEnv` does in a mode.

    Observations and actions stay those of the single environment: in a slab, those of one
    sub-environment are the same bytes.

    Args:
        env: The environment.
        reset: Resets it, given a seed and options.
        mode: The number of the mode.
        tuple_space: Whether an observation is itself a tuple.
    """

    def __init__(
        self, env: Any, reset: Callable[[Any, Any], Any], mode: int, *, tuple_space: bool
    ) -> None:
        self._env, self._reset, self._mode = env, reset, mode
        self._tuple_space = tuple_space
        self._over = False

    def reset(self, seed: Any, options: Any) -> Any:
        """Resets the environment; the option `reset_mask` has the one element true."""
        if isinstance(options, dict) and "reset_mask" in options:
            options = {key: value for key, value in options.items() if key != "reset_mask"} or None
        self._over = False
        seed = seed[0] if isinstance(seed, list) else seed
        returned = self._reset(seed, options)
        observation, info = split_reset(returned, None, tuple_space=self._tuple_space)
        infos: dict[str, Any] = {}
        add_info(infos, info, 0, 1)
        return observation, infos

    def _restarted(self) -> Any:
        observation, infos = self.reset(None, None)
        return observation, [0.0], [False], [False], infos

    def step(self, action: Any) -> Any:
        """Steps the environment, or resets it where its episode was over."""
        if self._over and self._mode == MODE["NEXT_STEP"]:
            return self._restarted()
        observation, rewards, ended, cut, info = split_step(self._env.step(action), None)
        self._over = ended[0] or cut[0]
        infos: dict[str, Any] = {}
        if self._over and self._mode == MODE["SAME_STEP"]:
            final = np.full(1, None, object)
            final[0] = observation
            final_info: dict[str, Any] = {}
            add_info(final_info, info, 0, 1)
            mask = np.ones(1, np.bool_)
            infos = {"final_obs": final, "_final_obs": mask, "final_info": final_info}
            infos["_final_info"] = mask.copy()
            observation, further = self.reset(None, None)
            infos.update(further)
        else:
            add_info(infos, info, 0, 1)
        return observation, rewards, ended, cut, infos
