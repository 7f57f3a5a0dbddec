"""The results of several steps, stacked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Transitions(NamedTuple):
    """The results of the steps of `step_many`, in order.

    Attributes:
        observations: Observations, stacked along a new first axis of `steps`: of a Box an array of
            shape `(steps, *shape)`; of a Dict or Tuple the container of such; of a Text a tuple. Of
            a vector environment the sub-environments are the second axis.
        rewards: float64, shape `(steps,)`; of a vector environment `(steps, num_envs)`.
        terminations: bool, likewise.
        truncations: bool, likewise.
        infos: The info of each step.
    """

    observations: Any
    rewards: npt.NDArray[np.float64]
    terminations: npt.NDArray[np.bool_]
    truncations: npt.NDArray[np.bool_]
    infos: list[dict[str, Any]]
