"""Bridge a robot's environment and a policy that speaks another form, by steps declared as data.

    python adapt_a_model.py

The policy brings its steps in its contract; what they leave unbridged would be named here, before
the first step. It needs Pillow: pip install 'rlmesh[images]'.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

import rlmesh
from rlmesh import adapters as ad


class Robot(gymnasium.Env[Any, Any]):
    """A camera, a pose with a quaternion, and a gripper that 1 closes and -1 opens."""

    observation_space = Dict(
        {
            "camera": Box(0, 255, (96, 96, 3), np.uint8),
            "position": Box(-1, 1, (3,)),
            "orientation": Box(-1, 1, (4,)),
        }
    )
    action_space = Box(-1, 1, (7,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), float(action[6]), False, False, {}


class Policy:
    """An image of floats, channels first, and a state; a gripper that 0 closes and 1 opens."""

    observation_space = Dict({"image": Box(0, 1, (3, 32, 32)), "state": Box(-4, 4, (6,))})
    action_space = Dict({"arm": Box(-1, 1, (6,)), "gripper": Box(0, 1, (1,))})
    adaptation = (
        ad.rename({"camera": "image"}),
        ad.resize(32, 32, at="image"),
        ad.channel_order("hwc", "chw", at="image"),
        ad.cast("float32", at="image"),
        ad.scale(1 / 255, at="image"),
        ad.rotation("quaternion_xyzw", "axis_angle", at="orientation"),
        ad.concatenate(["position", "orientation"], "state"),
        ad.gripper(open=(1, -1), closed=(0, 1), at="gripper", on="action"),
        ad.concatenate(["arm", "gripper"], on="action"),
    )

    def predict(self, observation: Any) -> Any:
        closed = np.zeros(1, np.float32)
        return {"arm": observation["state"] / 4, "gripper": closed}


if __name__ == "__main__":
    with (
        rlmesh.EnvServer(Robot()) as server,
        rlmesh.RemoteEnv(server.address) as env,
        rlmesh.ModelWorker(Policy()) as worker,
        rlmesh.RemoteModel(worker.address) as remote,
    ):
        adapter = rlmesh.adapt(remote, env)
        adapter.explain()
        model = adapter.wrap(remote)
        observation, info = env.reset(seed=0)
        observation, reward, *_ = env.step(model.predict(observation))
        print(f"the gripper got {reward:+.0f}, which closes it")
