"""The packages whose environments `make compatibility` serves and drives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package, and one of its environments.

    Attributes:
        name: The package, as the registry calls it.
        env: The environment, as `rlmesh serve` takes it.
        requires: What is installed, as pip takes it. Packages that require the same share a virtual
            environment.
        alone: What is installed after that without what it requires, because it excludes what
            RLMesh needs.
        kwargs: The keyword arguments to make the environment with.
        imports: Packages to import first, which register environments.
        kind: A single environment, a vector environment, or one of many agents.
        seed: The seed of the first reset. None: the environment takes its seed when it is made.
        variables: The variables of the processes that run it.
        steps: How many steps are compared; fewer where each draws large images on the CPU.
        unseeded: Keys of the info of a reset that no seed decides, which are not compared.
        as_text: Keys of infos with objects of the package, which arrive as their text.
    """

    name: str
    env: str
    requires: tuple[str, ...]
    alone: tuple[str, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    imports: tuple[str, ...] = ()
    kind: Literal["single", "vector", "agents"] = "single"
    seed: int | None = 17
    variables: dict[str, str] = field(default_factory=dict[str, str])
    steps: int = 500
    unseeded: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()

    @property
    def environment(self) -> str:
        """The environment with its arguments, for readers."""
        given = ", ".join(f"{key}={value!r}" for key, value in self.kwargs.items())
        return f"{self.env}({given})" if given else self.env


PISTONS = ("pettingzoo[butterfly,sisl]", "supersuit")
JAX = ("brax", "gymnax", "gym", "six")

# A version is bounded only where a newer one does not fit: the page says which one was run.
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
        name="highway-env",
        env="highway-fast-v0",
        kwargs={"config": {"vehicles_count": 5, "observation": {"type": "OccupancyGrid"}}},
        requires=("highway-env",),
        imports=("highway_env",),
        unseeded=("action",),
    ),
    Package(
        name="gymnasium-robotics",
        env="FetchReach-v4",
        requires=("gymnasium-robotics", "mujoco<3.4"),
        imports=("gymnasium_robotics",),
    ),
    Package(
        name="metaworld",
        env="Meta-World/MT1",
        requires=("metaworld", "packaging"),
        kwargs={"env_name": "reach-v3", "seed": 17},
        imports=("metaworld",),
    ),
    Package(
        name="dm-control",
        env="dm_control/cartpole-balance-v0",
        # MuJoCo 4 has no `flex_vertedge`, which dm_control 1.0.50 reads.
        requires=("shimmy[dm-control]", "packaging", "mujoco<4"),
        imports=("shimmy",),
    ),
    Package(
        name="pybullet",
        env="HopperBulletEnv-v0",
        requires=("pybullet", "pybullet-envs-gymnasium"),
        imports=("pybullet_envs_gymnasium",),
    ),
    Package(
        name="robosuite",
        env="compatibility.factories:lift",
        # It looks for a number among MuJoCo's enumerations, which in newer ones are equal to none.
        requires=("robosuite", "h5py", "mujoco<3.9"),
    ),
    Package(
        name="gym-aloha",
        env="gym_aloha/AlohaTransferCube-v0",
        requires=("gym-aloha",),
        kwargs={"obs_type": "pixels_agent_pos"},
        imports=("gym_aloha",),
        variables={"MUJOCO_GL": "egl"},
        steps=50,
    ),
    Package(
        name="gym-pusht",
        env="gym_pusht/PushT-v0",
        requires=("gym-pusht",),
        kwargs={"obs_type": "pixels_agent_pos"},
        imports=("gym_pusht",),
    ),
    Package(name="gymnax", env="compatibility.factories:gymnax_cartpole", requires=JAX),
    Package(
        name="brax",
        env="compatibility.factories:brax_pendulum",
        requires=JAX,
        # Each copy of the environment compiles its step for most of a minute.
        variables={"JAX_COMPILATION_CACHE_DIR": "jax-cache"},
        as_text=("first_pipeline_state",),
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
        name="pettingzoo",
        env="pettingzoo.butterfly.pistonball_v6:parallel_env",
        requires=PISTONS,
        kwargs={"n_pistons": 5},
        kind="agents",
    ),
    Package(
        name="pettingzoo",
        env="pettingzoo.sisl.pursuit_v5:parallel_env",
        requires=PISTONS,
        kwargs={"n_pursuers": 4},
        kind="agents",
    ),
    Package(
        name="supersuit",
        env="compatibility.factories:small_pistons",
        requires=PISTONS,
        kind="agents",
    ),
)


@dataclass(frozen=True, slots=True)
class Rendering:
    """An environment that renders where there is no display.

    Attributes:
        env: The environment, one of `PACKAGES`.
        backend: What draws the frames, for readers.
        variables: What asks for it.
    """

    env: str
    backend: str
    variables: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        """What it is recorded by."""
        return f"{self.env}, {self.backend}"

    @property
    def package(self) -> Package:
        """The package, and its environment in the mode `rgb_array`."""
        package = next(each for each in PACKAGES if each.env == self.env)
        return replace(
            package,
            kwargs={**package.kwargs, "render_mode": "rgb_array"},
            variables={**package.variables, **self.variables},
        )


EGL = {"MUJOCO_GL": "egl"}
OSMESA = {"MUJOCO_GL": "osmesa"}
SDL = {"SDL_VIDEODRIVER": "dummy"}

RENDERINGS = (
    Rendering("HalfCheetah-v5", "EGL", EGL),
    Rendering("HalfCheetah-v5", "OSMesa", OSMESA),
    Rendering("dm_control/cartpole-balance-v0", "EGL", EGL),
    Rendering("dm_control/cartpole-balance-v0", "OSMesa", OSMESA),
    Rendering("LunarLander-v3", "SDL, dummy", SDL),
    Rendering("gym_pusht/PushT-v0", "SDL, dummy", SDL),
    Rendering("HopperBulletEnv-v0", "PyBullet's own"),
    Rendering("ALE/Pong-v5", "the emulator"),
)
