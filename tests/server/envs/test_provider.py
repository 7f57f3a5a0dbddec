"""How much slot the answer to a step is given at first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rlmesh.codec.checks.conformance import Policy
from rlmesh.codec.slab.protocols import Writable
from rlmesh.contract import read_contract
from rlmesh.server.envs.codecs import Codecs
from rlmesh.server.envs.infos import InfoPacker
from rlmesh.server.envs.step import StepExecutor
from rlmesh.server.timings import Timings
from rlmesh.transports.grpc.outbox import StreamOutbox
from support.sample_envs import ScriptedEnv

NO_ACTION = bytes(8)


class Telling(ScriptedEnv):
    """Observes a frame and a text, and tells an info.

    Args:
        text: The text.
        info: The info.
    """

    def __init__(self, text: str, info: dict[str, Any]) -> None:
        super().__init__()
        self.observation_space = spaces.Dict(
            {"frame": spaces.Box(0, 255, (200, 200, 3), np.uint8), "text": spaces.Text(100)}
        )
        self.action_space = spaces.Discrete(2)
        self.text = text
        self.info = info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        frame = np.zeros((200, 200, 3), np.uint8)
        return {"frame": frame, "text": self.text}, 1.0, False, False, self.info


class Counting(StreamOutbox):
    """Notes what slot was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        if nbytes not in self.asked:
            self.asked.append(nbytes)
        return super().reserve(nbytes, keep)


def steps_of(env: Telling) -> StepExecutor:
    codecs = Codecs(read_contract(env), None, Policy.WARN)
    return StepExecutor(env, codecs, InfoPacker(Policy.WARN), Timings(), None)


@pytest.mark.parametrize(("text", "info"), [("a text", {}), ("a text", {"speed": 0.5})])
def test_a_step_like_the_one_before_needs_one_room(text: str, info: dict[str, Any]) -> None:
    steps, outbox = steps_of(Telling(text, info)), Counting()
    steps.step(1, NO_ACTION, outbox)
    first = list(outbox.asked)
    assert len(first) > 1
    outbox.asked.clear()
    start, end = steps.step(2, NO_ACTION, outbox)
    assert outbox.asked == [end - start]


def test_a_longer_text_and_a_longer_info_are_given_more_room() -> None:
    env = Telling("short", {"note": "short"})
    steps, outbox = steps_of(env), StreamOutbox()
    lengths: list[int] = []
    for nbytes in (1, 90, 5, 90):
        env.text, env.info = "x" * nbytes, {"note": "y" * 30 * nbytes}
        start, end = steps.step(1, NO_ACTION, outbox)
        message = outbox.message(start, end)
        assert env.text.encode() in message
        assert env.info["note"].encode() in message
        lengths.append(len(message))
    assert lengths[1] == lengths[3] > lengths[2] > lengths[0]
