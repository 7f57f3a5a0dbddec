"""What only RLMesh has: inference that is hidden behind actions, and a reload under load."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

import rlmesh
from benchmarks.models.ours import Served, serve
from benchmarks.models.task import HORIZON, SLOW, observation
from benchmarks.peer import peer

_STEP_SECONDS = 0.005
_EXECUTED = HORIZON // 2
_RELOADS = 5
_LOAD_CLIENTS = 4
_EPISODE = 10


@dataclass(frozen=True, slots=True)
class Hidden:
    """An episode of chunks with prefetch.

    Attributes:
        hidden: The part of the inference for which nobody waited.
        chunks: How many chunks were asked for.
        messages: How many messages the client sent for them.
    """

    hidden: float
    chunks: int
    messages: int


@dataclass(frozen=True, slots=True)
class Reloads:
    """Reloads while clients ask.

    Attributes:
        reloads: How many.
        calls: How many predictions were made meanwhile.
        failed: How many of them failed.
        episodes: How many episodes ended.
        mixed: How many of them had actions of more than one version.
        versions: How many versions answered.
    """

    reloads: int
    calls: int
    failed: int
    episodes: int
    mixed: int
    versions: int


def hide(steps: int = 200) -> Hidden:
    """Executes 8 actions of each chunk, at 5 ms; the model takes 20.5 ms; prefetch is "auto"."""
    with (
        peer(serve, SLOW, "0") as address,
        rlmesh.RemoteModel(address) as model,
        rlmesh.Chunks(model, execute=_EXECUTED, prefetch="auto") as policy,
    ):
        seen = observation()

        def run(count: int) -> None:
            for _ in range(count):
                policy.act(seen)
                time.sleep(_STEP_SECONDS)

        # The first chunk of an episode cannot be hidden, and its latency is not known before.
        run(2 * HORIZON)
        before = policy.stats()
        run(steps)
        after = policy.stats()
        # Takes the answer that may be on its way: the client has one call at a time.
        policy.reset()
        asked, messages = policy.stats().asked, model.stats()["predict"].count
    inference = after.inference_seconds - before.inference_seconds
    waited = after.waited_seconds - before.waited_seconds
    return Hidden(1.0 - waited / inference, asked, messages)


class _Versioned(Served):
    """A chunk that says which version has made it."""

    def __init__(self, version: int) -> None:
        super().__init__("nothing")
        self._chunk = np.full((HORIZON, 7), version / 100, np.float32)

    def predict_chunk(self, observation: Any) -> Any:
        return self._chunk

    def predict_chunk_batch(self, observations: Any) -> Any:
        return np.stack([self._chunk] * len(observations["state"]))


def reload(seconds: float = 2.0) -> Reloads:
    """Loads a model again while four clients run episodes of ten predictions."""
    lock, over = threading.Lock(), threading.Event()
    counts: dict[str, int] = {"calls": 0, "failed": 0, "episodes": 0, "mixed": 0}
    versions: set[float] = set()

    def note(**more: int) -> None:
        with lock:
            for name, count in more.items():
                counts[name] += count

    def run(address: str) -> None:
        with rlmesh.RemoteModel(address) as model:
            seen = observation()
            while not over.is_set():
                model.reset()
                found: set[float] = set()
                for _ in range(_EPISODE):
                    try:
                        found.add(float(model.predict_chunk(seen)[0, 0]))
                    except rlmesh.errors.RlmeshError:
                        note(failed=1)
                    note(calls=1)
                note(episodes=1, mixed=len(found) > 1)
                with lock:
                    versions.update(found)

    with rlmesh.ModelWorker(_Versioned(1)) as worker:
        threads = [
            threading.Thread(target=run, args=(worker.address,)) for _ in range(_LOAD_CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for number in range(_RELOADS):
            time.sleep(seconds / (_RELOADS + 1))
            worker.reload(_Versioned(2 + number))
        time.sleep(seconds / (_RELOADS + 1))
        over.set()
        for thread in threads:
            thread.join()
    return Reloads(reloads=_RELOADS, versions=len(versions), **counts)
