"""The policy that the deployment files serve: it balances the pole of CartPole."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete


class Balance:
    """Pushes the cart under the pole."""

    observation_space = Box(-np.inf, np.inf, (4,), np.float32)
    action_space = Discrete(2)

    def predict(self, observation: npt.NDArray[np.float32]) -> int:
        """The push for one observation: 0 to the left, 1 to the right."""
        _, velocity, angle, turning = observation
        return int(0.2 * velocity + angle + 0.5 * turning > 0)
