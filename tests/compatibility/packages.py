"""The packages whose environments `make compatibility` serves and drives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package, and one of its environments.

    Attributes:
        name: The package, as the registry calls it.
        env: The environment, as `rlmesh serve` takes it.
        requires: What is installed, as pip takes it.
        kwargs: The keyword arguments to make the environment with.
        imports: Packages to import first, which register environments.
        kind: A single environment, a vector environment, or one of many agents.
        seed: The seed of the first reset. None: the environment takes its seed when it is made.
    """

    name: str
    env: str
    requires: tuple[str, ...]
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    imports: tuple[str, ...] = ()
    kind: Literal["single", "vector", "agents"] = "single"
    seed: int | None = 17

    @property
    def environment(self) -> str:
        """The environment with its arguments, for readers."""
        given = ", ".join(f"{key}={value!r}" for key, value in self.kwargs.items())
        return f"{self.env}({given})" if given else self.env


# No version is pinned: the page says which one was run.
PACKAGES = (
    Package(name="ale-py", env="ALE/Pong-v5", requires=("ale-py",), imports=("ale_py",)),
    Package(name="mujoco", env="HalfCheetah-v5", requires=("gymnasium[mujoco]",)),
    Package(name="box2d", env="LunarLander-v3", requires=("gymnasium[box2d]",)),
    Package(
        name="minigrid",
        env="MiniGrid-DoorKey-5x5-v0",
        requires=("minigrid",),
        imports=("minigrid",),
    ),
    Package(
        name="minigrid",
        env="BabyAI-GoToLocal-v0",
        requires=("minigrid",),
        imports=("minigrid",),
    ),
    Package(
        name="highway-env", env="highway-v0", requires=("highway-env",), imports=("highway_env",)
    ),
    Package(
        name="pettingzoo",
        env="pettingzoo.butterfly.pistonball_v6:parallel_env",
        requires=("pettingzoo[butterfly]",),
        kwargs={"n_pistons": 5},
        kind="agents",
    ),
    Package(
        name="pettingzoo",
        env="pettingzoo.sisl.pursuit_v5:parallel_env",
        requires=("pettingzoo[sisl]",),
        kwargs={"n_pursuers": 4},
        kind="agents",
    ),
    Package(
        name="supersuit",
        env="factories:small_pistons",
        requires=("supersuit", "pettingzoo[butterfly]"),
        kind="agents",
    ),
    Package(
        name="envpool",
        env="envpool:make_gymnasium",
        requires=("envpool",),
        kwargs={"task_id": "CartPole-v1", "num_envs": 4, "seed": 17},
        kind="vector",
        seed=None,
    ),
    Package(
        name="gymnasium-robotics",
        env="FetchReach-v4",
        requires=("gymnasium-robotics",),
        imports=("gymnasium_robotics",),
    ),
    Package(
        name="metaworld",
        env="Meta-World/MT1",
        requires=("metaworld",),
        kwargs={"env_name": "reach-v3", "seed": 17},
        imports=("metaworld",),
    ),
    Package(
        name="dm-control",
        env="dm_control/cartpole-balance-v0",
        requires=("shimmy[dm-control]",),
        imports=("shimmy",),
    ),
    Package(
        name="pybullet",
        env="HopperBulletEnv-v0",
        requires=("pybullet", "pybullet-envs-gymnasium"),
        imports=("pybullet_envs_gymnasium",),
    ),
)
