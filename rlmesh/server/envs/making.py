"""The backend of an environment in this process, whatever kind of environment is given."""

from __future__ import annotations

from typing import Any

from rlmesh.contract import read_contract
from rlmesh.envs.agents import joint_env, read_joint_contract
from rlmesh.server.envs.foreign_vectors import served_form
from rlmesh.server.envs.local import LocalBackend
from rlmesh.server.envs.options import EnvOptions


def backend_of(env: Any, options: EnvOptions) -> LocalBackend:
    """The backend of an environment.

    Args:
        env: A single environment, a vector environment, an environment of many agents, or a list
            of single environments.
        options: How it is served.

    Raises:
        InvalidEnvError: If it is none of these.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
    """
    served = served_form(env)
    joint = joint_env(served)
    if joint is not None:
        contract = read_joint_contract(joint, delivers_nan=options.delivers_nan)
        return LocalBackend(joint, contract, options, given=env)
    contract = read_contract(served, delivers_nan=options.delivers_nan)
    return LocalBackend(served, contract, options, given=env)
