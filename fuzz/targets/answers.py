"""Answers, as clients read them: single and vector ones, with copies and with views."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable
from random import Random
from typing import Any, cast

import numpy as np

import rlmesh
from fuzz import environments, golden
from fuzz.fed_transport import FedTransport, put
from fuzz.messages import message_mutator
from fuzz.target import Feed, Target, expect
from rlmesh.client.env_client import EnvClient
from rlmesh.codec.infos.packing import pack
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.contract import read_contract
from rlmesh.errors import RlmeshError
from rlmesh_api.v1 import session_pb2

Call = Callable[[EnvClient], object]

_CALLS: dict[str, Call] = {
    "step": lambda env_client: env_client.step(_action_of(env_client)),
    "step_many": lambda env_client: env_client.step_many([_action_of(env_client)] * 3),
    "reset": lambda env_client: env_client.reset(None, None),
    "render": lambda env_client: env_client.render(),
    "attribute": lambda env_client: env_client.get_attribute("level"),
    "stats": lambda env_client: env_client.stats(),
}


def _action_of(env_client: EnvClient) -> Any:
    return _ACTIONS[env_client.contract.vector]


_ACTIONS: dict[bool, Any] = {}


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    kinds: tuple[tuple[Callable[[], Any], Any], ...] = (
        (environments.single, rlmesh.RemoteEnv),
        (environments.vector, rlmesh.RemoteVectorEnv),
    )
    env_clients: list[EnvClient] = []
    with contextlib.ExitStack() as stack:
        for make, client in kinds:
            for copy in (True, False):
                server = stack.enter_context(rlmesh.EnvServer(make()))
                remote = client(server.address, transport="grpc", copy=copy, reconnect=False)
                stack.callback(remote.close)
                remote.action_space.seed(0)
                env_client = cast("EnvClient", remote._env_client)
                _ACTIONS[env_client.contract.vector] = remote.action_space.sample()
                env_clients.append(env_client)
        own = [env_client._call_client._transport for env_client in env_clients]
        yield _feeder(env_clients)
        for env_client, transport in zip(env_clients, own, strict=True):
            put(env_client._call_client, transport)


def _feeder(env_clients: list[EnvClient]) -> Feed:
    transport = FedTransport()
    calls = list(_CALLS.values())

    def feed(data: bytes) -> None:
        if not data:
            return
        env_client = env_clients[data[0] % len(env_clients)]
        transport.answer = data[1:]
        put(env_client._call_client, transport)
        with contextlib.suppress(RlmeshError):
            calls[data[0] // len(env_clients) % len(calls)](env_client)
        expect(
            env_client._call_client._free == [True],
            "no call is running, and the connection is held",
        )

    return feed


def _seeds() -> Iterable[bytes]:
    for _, _, answer in golden.calls():
        kind = session_pb2.SessionResponse.FromString(answer).WhichOneof("answer")
        if kind is not None and kind in _CALLS:
            yield bytes([4 * list(_CALLS).index(str(kind))]) + answer
    info = pack({"a": [1, np.zeros(3)]})
    rendered = session_pb2.RenderResult(frame=pack(np.zeros((2, 2, 3), np.uint8)))
    read = session_pb2.AttributeResult(value=info)
    failure = session_pb2.Failure(code=session_pb2.ERROR_CODE_ENVIRONMENT, message="m")
    envs: tuple[Any, Any] = (environments.single(), environments.vector())
    for place, env in enumerate(envs):
        contract = read_contract(env)
        num_envs = contract.num_envs if contract.vector else None
        env.observation_space.seed(0)
        slab = compile_layout(contract.observation_space, num_envs).encode(
            env.observation_space.sample()
        )
        numbers = [1.0] * (num_envs or 1), [False] * (num_envs or 1), [True] * (num_envs or 1)
        step = session_pb2.StepResult(
            observation=slab,
            info=info,
            rewards=numbers[0],
            terminations=numbers[1],
            truncations=numbers[2],
        )
        many = session_pb2.StepManyResult(steps=[step, step], failure=failure)
        reset = session_pb2.ResetResult(observation=slab, info=info)
        calls = session_pb2.StatsResult(calls=[session_pb2.CallStats(call="step", count=1)])
        answers: tuple[tuple[str, session_pb2.SessionResponse], ...] = (
            ("step", session_pb2.SessionResponse(sequence=1, step=step)),
            ("step_many", session_pb2.SessionResponse(sequence=1, step_many=many)),
            ("reset", session_pb2.SessionResponse(sequence=1, reset=reset)),
            ("render", session_pb2.SessionResponse(sequence=1, render=rendered)),
            ("attribute", session_pb2.SessionResponse(sequence=1, attribute=read)),
            ("stats", session_pb2.SessionResponse(sequence=1, stats=calls)),
            ("step", session_pb2.SessionResponse(sequence=1, failure=failure)),
        )
        for name, message in answers:
            for copy in (0, 1):
                head = 4 * list(_CALLS).index(name) + 2 * place + copy
                yield bytes([head]) + message.SerializeToString()


_mutate_answer = message_mutator(session_pb2.SessionResponse)


def _mutate(data: bytes, random: Random) -> bytes | None:
    mutated = _mutate_answer(data[1:], random)
    return None if mutated is None else data[:1] + mutated


ANSWERS = Target("answers", "answers, as clients read them", _opened, _seeds, _mutate)
