"""What a user's type checker sees of the installed packages; never run."""

from __future__ import annotations

from typing_extensions import assert_type

import rlmesh
from rlmesh_api import contract

server = rlmesh.EnvServer(object())
assert_type(server.address, str)
assert_type(server.env_contract, rlmesh.EnvContract)
assert_type(rlmesh.RemoteEnv(server.address).env_contract, contract.EnvContract)
assert_type(server.env_contract.num_envs, int)
