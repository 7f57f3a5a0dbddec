"""The server for old interpreters, driven by today's clients.

`make legacy` runs these tests with the wheel on old interpreters. Otherwise this interpreter runs
the source.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import gymnasium
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import rlmesh
from rlmesh import errors
from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.contract import EnvContract
from rlmesh_api.v1 import env_service_pb2, session_pb2
from support.certificates import make_certificates
from support.golden import ENVS, FOLDER, RawStream, plain, says
from support.golden_frames import bytes_of
from support.repository import ROOT

GOLDEN = FOLDER / f"{rlmesh.__version__}.json"
HERE = "this"
VERSIONS = os.environ.get("RLMESH_LEGACY", "").split() or [HERE]

# One worker runs them all, so that each kind of server is started once.
pytestmark = pytest.mark.xdist_group("legacy")


@dataclass(frozen=True)
class Python:
    """An interpreter, and where it finds the server and what the tests serve."""

    path: str
    modules: str

    def run(self, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        """Starts it."""
        environ = {**os.environ, "PYTHONPATH": self.modules}
        return subprocess.Popen([self.path, *arguments], env=environ, text=True, **settings)

    def has(self, module: str) -> bool:
        """Whether a module is installed."""
        found = f"import importlib.util as u, sys; sys.exit(not u.find_spec({module!r}))"
        return self.run("-c", found).wait(60) == 0


@pytest.fixture(scope="module", params=VERSIONS)
def python(request: pytest.FixtureRequest) -> Python:
    tests = ROOT / "legacy" / "tests"
    if request.param == HERE:
        return Python(sys.executable, os.pathsep.join([str(ROOT / "legacy"), str(tests)]))
    path = ROOT / f".venv-legacy-{request.param}" / "bin" / "python"
    if not path.exists():
        pytest.skip(f"no Python {request.param} was found when `make legacy` looked for it")
    return Python(str(path), str(tests))


@contextlib.contextmanager
def served(python: Python, env: str, *options: str, code: int = 0) -> Generator[str]:
    """The address of a served environment; it ends by SIGTERM, with an exit code."""
    reader, writer = os.pipe()
    process = python.run(
        *("-m", "rlmesh_legacy_server", env, "--ready-fd", str(writer), *options),
        pass_fds=[writer],
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    with os.fdopen(reader) as ready:
        address = ready.read().strip()
    try:
        assert address, process.communicate()[1]
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == code, said


@pytest.fixture(scope="module")
def echo(python: Python) -> Iterator[str]:
    with served(python, "served_envs:Echo", "--expose", "level", "--expose", "scale") as address:
        yield address


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and np.array_equal(one, other)


def test_golden_contracts_and_values_keep_their_bytes(python: Python) -> None:
    check = python.run(
        str(ROOT / "legacy" / "tests" / "check_golden.py"), str(GOLDEN), stdout=subprocess.PIPE
    )
    output, _ = check.communicate(timeout=60)
    assert check.returncode == 0, output


def meant(answer: session_pb2.SessionResponse, layout: Layout) -> dict[str, Any]:
    """What an answer says, with values in place of slabs, whose gaps may hold anything."""
    data = says(answer)
    for part in (data, *data.get("step_many", {}).get("steps", ())):
        for result in (part, part.get("reset"), part.get("step")):
            if result and "observation" in result:
                slab = base64.b64decode(result["observation"])
                result["observation"] = plain(layout.decode(slab, 0, len(slab)))
    return data


@pytest.mark.parametrize("name", ENVS)
def test_golden_conversations_hold(python: Python, name: str) -> None:
    golden = json.loads(GOLDEN.read_text())["conversations"][name]
    message = env_service_pb2.GetContractResponse.FromString(bytes_of(golden["contract"]))
    contract = EnvContract.from_proto(message.contract)
    layout = compile_layout(
        contract.observation_space, contract.num_envs if contract.vector else None
    )
    kwargs = json.dumps({"path": str(GOLDEN), "name": name})
    with (
        served(python, "served_envs:Replay", "--kwargs", kwargs) as address,
        grpc.insecure_channel(address.removeprefix("tcp://")) as channel,
        RawStream(channel) as stream,
    ):
        for call in golden["calls"]:
            answer = session_pb2.SessionResponse.FromString(stream.ask(bytes_of(call["request"])))
            kind = answer.WhichOneof("answer")
            assert kind in call["says"][1]
            if kind != "open":  # which has random names in it
                golden_answer = session_pb2.SessionResponse.FromString(bytes_of(call["response"]))
                assert meant(answer, layout) == meant(golden_answer, layout)


def test_values_of_all_seven_spaces_cross_as_they_are(echo: str) -> None:
    with rlmesh.RemoteEnv(echo) as env:
        assert env.transport == "grpc"
        assert env.env_contract.observation_space.kind == "dict"
        options = {"deep": [1, 2.5, None, (b"x", 2**80)], "array": np.arange(3)}
        observation, info = env.reset(seed=7, options=options)
        assert observation in env.observation_space
        assert info["seed"] == 7
        assert info["options"]["deep"] == options["deep"]
        np.testing.assert_array_equal(info["options"]["array"], [0, 1, 2])
        env.action_space.seed(1)
        for _ in range(3):
            action = env.action_space.sample()
            observation, reward, terminated, truncated, info = env.step(action)
            assert equal(dict(observation), dict(action))
            assert equal(dict(info["action"]), dict(action))
            assert (reward, terminated, truncated) == (0.5, False, False)
        chunk = env.step_many([env.action_space.sample() for _ in range(9)])
        assert chunk.terminations.tolist() == [False, True]
        assert env.render() == "step 5"


def test_values_beyond_their_bounds_are_reported_and_others_refused(echo: str) -> None:
    with rlmesh.RemoteEnv(echo) as env:
        action, _ = env.reset(options={"observe": {"box": [3.0, 7.0]}})
        env.step(action)
        [warning] = env.notices
        assert (warning["kind"], warning["path"]) == ("bounds", "$.box")
        assert "3.0 at [0] is above the largest allowed, 1.0" in warning["detail"]
        for wrong, words in (
            ({"box": [0.0, float("nan")]}, "nan at [1] is no number"),
            ({"choice": 2}, "2 is above the largest allowed, 1"),
            ({"grid": [0]}, "expected int32 of shape (2,), got shape (1,)"),
            ({"bits": [[0, 1], [1, 0.5]]}, "0.5 at [1, 1], which is no integer"),
            ({"word": 5}, "expected a str, got int"),
            ({"more": 1}, "expected a dict with the keys"),
        ):
            env.reset(options={"observe": wrong})
            with pytest.raises(errors.InvalidObservationError) as refused:
                env.step(action)
            assert words in str(refused.value)


def test_what_an_environment_raises_and_what_cannot_travel(echo: str) -> None:
    with rlmesh.RemoteEnv(echo) as env:
        action, _ = env.reset(options={"raise": True})
        with pytest.raises(errors.RemoteEnvError, match="KeyError: 'missing'") as raised:
            env.step(action)
        assert "served_envs.py" in str(raised.value.remote_traceback)
        env.reset(options={"odd": True})
        env.step(action)
        assert [(each["path"], each["reason"]) for each in env.notices] == [
            ("$.odd", "unsupported type"),
            ("$.fields", "unsupported dtype"),
        ]
        with pytest.raises(errors.InvalidArgumentError, match="a seed is an integer from 0"):
            env.reset(seed=-1)


def test_exposed_attributes_are_read_set_and_called(echo: str) -> None:
    with rlmesh.RemoteEnv(echo) as env:
        assert env.get_wrapper_attr("level") == 3
        assert env.get_wrapper_attr("scale")(2, plus=1) == 7
        with pytest.raises(errors.UnexposedAttributeError):
            env.get_wrapper_attr("metadata_of_nobody")


def test_one_client_has_the_environment_and_the_next_may_wait(echo: str) -> None:
    with rlmesh.RemoteEnv(echo) as env:
        with pytest.raises(errors.EndpointBusyError, match="serves one client at a time"):
            rlmesh.RemoteEnv(echo)
        waiting = threading.Timer(0.2, env.close)
        waiting.start()
        with rlmesh.RemoteEnv(echo, busy_timeout_seconds=30) as second:
            second.reset()
        waiting.join()


def test_several_endpoints_are_stepped_as_gymnasium_steps_sub_environments(
    python: Python, echo: str
) -> None:
    with (
        served(python, "served_envs:Echo") as other,
        rlmesh.RemoteVectorEnv([echo, other], autoreset="same_step") as env,
    ):
        env.reset(seed=3, options={"episode": 2})
        action = env.action_space.sample()
        env.step(action)
        _, rewards, terminations, _, infos = env.step(action)
        assert rewards.tolist() == [0.5, 0.5]
        assert terminations.tolist() == [True, True]
        assert infos["_final_obs"].tolist() == [True, True]
        assert infos["final_obs"][0]["word"] == action["word"][0]
        assert infos["final_info"]["action"]["choice"].tolist() == action["choice"].tolist()
        assert infos["_seed"].tolist() == [True, True]  # of the reset


def test_an_environment_of_old_gym_is_driven_as_one_of_gymnasium(python: Python) -> None:
    with served(python, "served_envs:OldStyle") as address, rlmesh.RemoteEnv(address) as env:
        assert env.render_mode == "rgb_array"
        assert env.reset(seed=40) == (40, {})
        assert [env.step(0)[:4] for _ in range(3)] == [
            (41, 1.0, False, False),
            (42, 1.0, False, False),
            (43, 1.0, False, True),
        ]
        frame: Any = env.render()
        assert frame.shape == (2, 2, 3)
        with pytest.raises(errors.InvalidArgumentError, match="takes no options"):
            env.reset(options={"a": 1})


def test_infos_of_old_vector_environments_have_gymnasiums_form(python: Python) -> None:
    with (
        served(python, "served_envs:OldVector") as address,
        rlmesh.RemoteVectorEnv(address) as env,
    ):
        assert env.num_envs == 2
        env.reset(seed=1)
        observations, rewards, terminations, _, infos = env.step(np.array([2, 1]))
        assert observations.tolist() == [[2.0], [1.0]]
        assert rewards.tolist() == [0.0, 1.0]
        assert terminations.tolist() == [False, True]
        assert infos["n"].tolist() == [1, 0]
        assert infos["_n"].tolist() == [True, False]
        assert infos["final_obs"][1].tolist() == [5.0]
        assert env.env_contract.autoreset_mode is None
        env.close()
        with pytest.raises(errors.InvalidArgumentError, match="autoreset='next_step' is not"):
            rlmesh.RemoteVectorEnv(address, autoreset="next_step")


def test_an_environment_of_gym_itself_is_equal_to_gymnasiums(python: Python) -> None:
    library = next((name for name in ("gymnasium", "gym") if python.has(name)), None)
    if library is None:
        pytest.skip("neither gym nor gymnasium is installed for this interpreter")
    local = gymnasium.make("CartPole-v1")
    with served(python, "CartPole-v1") as address, rlmesh.RemoteEnv(address) as env:
        assert env.env_contract.id == "CartPole-v1"
        env.reset(seed=3)
        local.reset(seed=3)
        for number in range(200):
            ours, theirs = env.step(number % 2), local.step(number % 2)
            assert ours[2:4] == theirs[2:4]
            if not python.has("gym") or library == "gymnasium":
                np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)
            if ours[2]:
                break


def test_token_and_tls_keep_strangers_out_and_health_answers(
    python: Python, tmp_path: Path
) -> None:
    certificates = make_certificates(tmp_path)
    (tmp_path / "token").write_text("secret\n")
    options = ["--token-file", str(tmp_path / "token")]
    options += ["--tls-certificate", certificates.path("server.pem")]
    options += ["--tls-key", certificates.path("server.key")]
    with served(python, "served_envs:OldStyle", *options) as address:
        with rlmesh.RemoteEnv(address, token="secret", tls=certificates.client()) as env:
            env.reset(seed=1)
        with pytest.raises(errors.AuthenticationError):
            rlmesh.RemoteEnv(address, token="other", tls=certificates.client())
        trusted = grpc.ssl_channel_credentials(Path(certificates.path("ca.pem")).read_bytes())
        with grpc.secure_channel(address.removeprefix("tcp://"), trusted) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            serving = health_pb2.HealthCheckResponse.SERVING
            request = health_pb2.HealthCheckRequest(service="rlmesh_api.v1.EnvService")
            assert health.Check(request, timeout=10).status == serving
            watch = health.Watch(request, timeout=10)
            assert next(watch).status == serving
            watch.cancel()
            with pytest.raises(grpc.RpcError) as unknown:
                health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
            error: Any = unknown.value
            assert error.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["OldStyle", "--address", "0.0.0.0:0"], "can be reached from other machines"),
        (["OldStyle", "--address", "unix:///tmp/a.sock"], "is no address of this server"),
        (["DifferentBounds"], "sub-environments of single_observation_space, with the same bounds"),
    ],
)
def test_what_the_server_cannot_is_said_when_it_starts(
    python: Python, arguments: list[str], words: str
) -> None:
    name, *options = arguments
    process = python.run(
        *("-m", "rlmesh_legacy_server", f"served_envs:{name}", *options), stderr=subprocess.PIPE
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert words in said


def test_a_session_is_not_kept_and_its_client_learns_that(echo: str) -> None:
    with (
        grpc.insecure_channel(echo.removeprefix("tcp://")) as channel,
        RawStream(channel) as stream,
    ):
        request = session_pb2.SessionRequest()
        request.resume.secret = bytes(32)
        answer = session_pb2.SessionResponse.FromString(stream.ask(request.SerializeToString()))
        assert answer.failure.code == session_pb2.ERROR_CODE_SESSION_GONE


def test_a_second_signal_ends_a_server_whose_environment_hangs(python: Python) -> None:
    with served(python, "served_envs:Echo", code=128 + signal.SIGTERM) as address:
        env = rlmesh.RemoteEnv(address, request_timeout_seconds=1)
        action, _ = env.reset(options={"hang": True})
        with pytest.raises(errors.CallTimeoutError):
            env.step(action)
        status = status_of(address)
        assert (status.state, status.call) == (env_service_pb2.SERVER_STATE_BUSY, "step")
        assert "threading.Event().wait()" in status.stack
        os.kill(status.server.pid, signal.SIGTERM)
        while status_of(address).state != env_service_pb2.SERVER_STATE_DRAINING:
            pass


def status_of(address: str) -> env_service_pb2.GetStatusResponse:
    with grpc.insecure_channel(address.removeprefix("tcp://")) as channel:
        ask: Any = channel.unary_unary("/rlmesh_api.v1.EnvService/GetStatus")
        return env_service_pb2.GetStatusResponse.FromString(ask(b"", timeout=10))
