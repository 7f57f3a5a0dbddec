"""A model that keeps state predicts the same, bit for bit, while its connection is cut.

`RLMESH_CHAOS_SEEDS=1`, as `make chaos` sets it, has a thousand cuts instead of twenty.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.server.rpc import listeners
from soak.proxy import Proxy
from support.comparing import assert_same
from support.models import Array, Recurrent, observation, working

CUTS = 1000 if int(os.environ.get("RLMESH_CHAOS_SEEDS", "0")) else 20
SEEN = [observation(seed) for seed in range(32)]


class Interrupted(Recurrent):
    """Has something happen in every other call, before it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None

    def predict(self, observation: Any, context: rlmesh.ModelContext) -> Array:
        action = super().predict(observation, context)
        if context.index % 2:
            self.meanwhile()
        return action


def episode(model: rlmesh.RemoteModel, count: int, before: Callable[[], object]) -> list[Any]:
    """So many predictions; something happens before every other one."""
    model.reset(seed=7)
    found: list[Any] = []
    for index, each in zip(range(count), itertools.cycle(SEEN), strict=False):
        if not index % 2:
            before()
        found.append(model.predict(each))
    return found


@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_a_recurrent_model_is_bit_for_bit_itself_through_every_cut(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Interrupted()
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context(working(served, direct=0))
        with rlmesh.RemoteModel(worker.address) as model:
            unbroken = episode(model, CUTS, lambda: None)
        assert worker.direct_address is not None
        served.sizes.clear()
        stream = stack.enter_context(Proxy(worker.address))
        direct = stack.enter_context(Proxy(worker.direct_address))
        # The transport `direct` crosses a proxy too; shared memory has no way that one could cut.
        monkeypatch.setattr(listeners, "_offered", lambda _: direct.address.removeprefix("tcp://"))
        model = stack.enter_context(rlmesh.RemoteModel(stream.address, transport=transport))
        assert model.transport == transport
        cuts = 0

        def cut() -> None:
            nonlocal cuts
            cuts += 1
            if transport == "shm":
                pipe: Any = model._client._transport
                if pipe is not None:
                    pipe._pipe.close()
            direct.cut()
            stream.cut()

        served.meanwhile = cut
        broken = episode(model, CUTS, cut)
        assert model.transport == transport
    assert_same(np.stack(broken), np.stack(unbroken))
    assert cuts == CUTS
    assert len(served.sizes) == CUTS
