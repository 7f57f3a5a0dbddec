"""Fleets on Ray: servers that Ray places over a cluster, and that come back where they are lost.

Needs `pip install 'rlmesh[ray]'`; importing this module imports Ray. Here `ray` is that package, as
all imports are absolute.

Modules:
    fleet: Drives environments on the nodes as one vector environment.
    models: Replicas of a model, and clients spread over them.
    servers: The servers of a fleet: started, found again, replaced and ended.
    states: What each of them says that it is doing.
    actors: The Ray actor that holds a server.
    cluster: What the nodes have, and where servers go.
    arguments: Arguments that fleets have in common.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("ray") is None:
    raise ImportError("rlmesh.ray needs Ray 2.60 or newer; pip install 'rlmesh[ray]'")

from rlmesh.ray.fleet import Fleet
from rlmesh.ray.models import Models
from rlmesh.ray.servers import ServerStatus

__all__ = ["Fleet", "Models", "ServerStatus"]
