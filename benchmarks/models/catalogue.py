"""Every contender by name. Its code is imported in its own driver only."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

Open = Callable[[str, int], AbstractContextManager[list[Callable[[Any], Any]]]]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to ask a served model.

    Attributes:
        key: Its name on the command line.
        title: Its name on the page.
        where: `module:function` of the context that opens it, for a model and a number of clients.
        setup: How it is set up, for the page.
        package: What pip installs for it, beside NumPy; empty for RLMesh.
    """

    key: str
    title: str
    where: str
    setup: str
    package: str = ""

    def load(self) -> Open:
        """The context that opens it."""
        module, _, function = self.where.partition(":")
        found: Open = getattr(importlib.import_module(f"benchmarks.models.{module}"), function)
        return found


CONTENDERS = {
    contender.key: contender
    for contender in (
        Contender("shm", "RLMesh, shm", "ours:shm", "`RemoteModel(address)`; dynamic batches"),
        Contender(
            "one-by-one",
            "RLMesh, shm, one by one",
            "ours:one_by_one",
            "the same with `max_batch_size=1`",
        ),
        Contender("direct", "RLMesh, direct", "ours:direct", '`transport="direct"` over TCP'),
        Contender("grpc", "RLMesh, grpc", "ours:over_grpc", '`transport="grpc"` over TCP'),
        Contender(
            "openpi",
            "openpi-client",
            "peers:openpi",
            "`WebsocketClientPolicy`, and a server of its protocol that is written as openpi's: "
            "one call after the other in the event loop",
            "openpi-client==0.1.2 typing-extensions==4.16.0",
        ),
        Contender(
            "vla-eval",
            "vla-eval",
            "peers:vla_eval",
            "`PredictModelServer` and `Connection`; `predict_batch` where there are many clients",
            "vla-eval==0.8.0",
        ),
        Contender(
            "litserve",
            "LitServe",
            "peers:litserve",
            "a `LitAPI`; JSON with the arrays in base64 over HTTP",
            "litserve==0.2.19",
        ),
        Contender(
            "mosec",
            "mosec",
            "peers:mosec",
            "a `Worker`; the bytes of the arrays over HTTP",
            "mosec==0.9.8",
        ),
        Contender(
            "ray-serve",
            "Ray Serve",
            "peers:ray_serve",
            "a deployment on one machine, asked by its handle; `@serve.batch` where there are many",
            "ray[serve]==2.60.0",
        ),
    )
}
