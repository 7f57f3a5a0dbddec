"""RLMesh: a Gymnasium environment, or a model, behind an address.

What is exported is imported when it is first used. The serving side needs no Gymnasium.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import rlmesh.transports  # noqa: F401 # pyright: ignore[reportUnusedImport] - imports grpc as it must be
from rlmesh import errors
from rlmesh._version import __version__
from rlmesh.errors import RlmeshError

if TYPE_CHECKING:
    from rlmesh import spaces
    from rlmesh.adapters import Adapter, adapt
    from rlmesh.chunking import Chunks, ChunkStats
    from rlmesh.client.env import RemoteEnv
    from rlmesh.client.model import RemoteModel
    from rlmesh.client.parallel_env import RemoteParallelEnv
    from rlmesh.client.stats import CallStats, PredictionStats
    from rlmesh.client.transitions import Transitions
    from rlmesh.client.vector_env import RemoteVectorEnv
    from rlmesh.contract import (
        ContractDifference,
        EnvContract,
        ModelContract,
        compare_contracts,
    )
    from rlmesh.evaluation.comparison import Comparison, compare
    from rlmesh.evaluation.evaluating import evaluate
    from rlmesh.evaluation.results import Evaluation
    from rlmesh.parallel.make_vec import make_vec
    from rlmesh.parallel.vector_env import ParallelVectorEnv
    from rlmesh.recording.recorder import Recorder
    from rlmesh.replaying.replaying import replay
    from rlmesh.replaying.results import Replay
    from rlmesh.security import ClientTLS, ServerTLS
    from rlmesh.server.env_server import EnvServer
    from rlmesh.server.model_worker import ModelWorker
    from rlmesh.server.models.context import ModelContext
    from rlmesh.server.options import ServeOptions

__all__ = [
    "Adapter",
    "CallStats",
    "ChunkStats",
    "Chunks",
    "ClientTLS",
    "Comparison",
    "ContractDifference",
    "EnvContract",
    "EnvServer",
    "Evaluation",
    "ModelContext",
    "ModelContract",
    "ModelWorker",
    "ParallelVectorEnv",
    "PredictionStats",
    "Recorder",
    "RemoteEnv",
    "RemoteModel",
    "RemoteParallelEnv",
    "RemoteVectorEnv",
    "Replay",
    "RlmeshError",
    "ServeOptions",
    "ServerTLS",
    "Transitions",
    "__version__",
    "adapt",
    "compare",
    "compare_contracts",
    "errors",
    "evaluate",
    "make_vec",
    "replay",
    "spaces",
]

_LAZY = {
    "Adapter": "rlmesh.adapters",
    "CallStats": "rlmesh.client.stats",
    "ChunkStats": "rlmesh.chunking",
    "Chunks": "rlmesh.chunking",
    "ClientTLS": "rlmesh.security",
    "Comparison": "rlmesh.evaluation.comparison",
    "ContractDifference": "rlmesh.contract",
    "EnvContract": "rlmesh.contract",
    "EnvServer": "rlmesh.server.env_server",
    "Evaluation": "rlmesh.evaluation.results",
    "ModelContext": "rlmesh.server.models.context",
    "ModelContract": "rlmesh.contract",
    "ModelWorker": "rlmesh.server.model_worker",
    "ParallelVectorEnv": "rlmesh.parallel.vector_env",
    "PredictionStats": "rlmesh.client.stats",
    "Recorder": "rlmesh.recording.recorder",
    "RemoteEnv": "rlmesh.client.env",
    "RemoteModel": "rlmesh.client.model",
    "RemoteParallelEnv": "rlmesh.client.parallel_env",
    "RemoteVectorEnv": "rlmesh.client.vector_env",
    "Replay": "rlmesh.replaying.results",
    "ServeOptions": "rlmesh.server.options",
    "ServerTLS": "rlmesh.security",
    "Transitions": "rlmesh.client.transitions",
    "adapt": "rlmesh.adapters",
    "compare": "rlmesh.evaluation.comparison",
    "compare_contracts": "rlmesh.contract",
    "evaluate": "rlmesh.evaluation.evaluating",
    "make_vec": "rlmesh.parallel.make_vec",
    "replay": "rlmesh.replaying.replaying",
}


if sys.modules.get("gymnasium") is not None:
    # Where Gymnasium is imported later, the first use of a client registers it.
    importlib.import_module("rlmesh.registration")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    if name == "spaces":
        return importlib.import_module("rlmesh.spaces")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
