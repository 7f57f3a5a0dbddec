"""What cannot travel in an info or in reset options is told, once."""

from __future__ import annotations

import logging
from pathlib import PurePosixPath

import pytest

from support.sample_envs import ScriptedEnv
from support.serving import remote

pytestmark = pytest.mark.usefixtures("each_transport")


def test_a_degraded_info_is_noticed_once_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    env = ScriptedEnv()
    observation = env.observation_space.sample()
    env.script["step"] = lambda: (observation, 0.0, False, False, {"goal": {1, 2}})
    with caplog.at_level(logging.WARNING, "rlmesh.server"), remote(env) as client:
        client.reset(seed=0)
        infos = [client.step(client.action_space.sample())[4] for _ in range(3)]
        assert [notice["path"] for notice in client.notices] == ["$.goal"]
    assert infos == [{"goal": "{1, 2}"}] * 3
    logged = [record.name for record in caplog.records if "$.goal" in record.getMessage()]
    assert sorted(logged) == ["rlmesh.client", "rlmesh.server"]


def test_options_that_cannot_travel_are_warned_about_and_arrive_as_text() -> None:
    env = ScriptedEnv()
    with remote(env) as client, pytest.warns(UserWarning, match="PurePosixPath in the options"):
        client.reset(options={"map": PurePosixPath("maps/one")})
