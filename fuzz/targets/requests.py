"""Requests, as a server reads and executes them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from random import Random
from typing import Any

from google.protobuf.message import DecodeError

from fuzz import environments
from fuzz.messages import message_mutator
from fuzz.target import Feed, Target, expect
from rlmesh.codec.checks.conformance import Policy
from rlmesh.codec.infos.packing import pack
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.contract import read_contract
from rlmesh.server.envs.backend import ENV
from rlmesh.server.envs.local import LocalBackend
from rlmesh.server.envs.options import EnvOptions
from rlmesh.server.failures import CallFailedError
from rlmesh.server.sessions.requests import Request, read_request
from rlmesh.transports.grpc.outbox import StreamOutbox
from rlmesh_api.v1 import session_pb2

_CLIENTS_MISTAKE = (
    session_pb2.ERROR_CODE_PROTOCOL,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT,
    session_pb2.ERROR_CODE_INVALID_ACTION,
)
# What the client gives there is the environment's to judge.
_FOREIGN = ("reset", "attribute")


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    served: list[LocalBackend] = []
    for env in (environments.single(), environments.vector()):
        contract = read_contract(env)
        served += [
            LocalBackend(
                env,
                contract,
                EnvOptions(policy=policy, exposed=frozenset(environments.EXPOSED)),
            )
            for policy in Policy
        ]

    def feed(data: bytes) -> None:
        if not data:
            return
        try:
            request = read_request(data[1:], ENV)
        except DecodeError:
            return
        env, outbox = served[data[0] % len(served)], StreamOutbox()
        # What the session remembers for as long as it lasts.
        env.begin_session(None)
        try:
            start, end = env.answer(request, outbox)
        except CallFailedError as error:
            _check_failure(request, error.failure)
            return
        answer = session_pb2.SessionResponse.FromString(outbox.message(start, end))
        expect(answer.sequence == request.sequence, "another call was answered")
        expect(answer.WhichOneof("answer") == request.kind, "a call has another call's answer")

    yield feed


def _check_failure(request: Request, failure: session_pb2.Failure) -> None:
    foreign = failure.code == session_pb2.ERROR_CODE_ENVIRONMENT and request.kind in _FOREIGN
    text = f"{session_pb2.ErrorCode.Name(failure.code)}: {failure.message}\n{failure.traceback}"
    expect(foreign or failure.code in _CLIENTS_MISTAKE, text)


def _seeds() -> Iterable[bytes]:
    deviation = session_pb2.Deviation(kind="overflow", path="$.box", env_index=1, detail="much")
    steps = [session_pb2.StepCall(action=slab, deviations=[deviation]) for slab in _slabs()]
    reset = session_pb2.ResetCall(seed=pack(3), options=pack({"a": [1]}))
    seeds = session_pb2.ResetCall(seed=pack([1, None]))
    called = session_pb2.AttributeCall(
        verb=session_pb2.ATTRIBUTE_VERB_CALL, name="move", argument=pack([[1], {"a": 2}])
    )
    for place, step in enumerate(steps):
        head = bytes([3 * place])
        for call in (
            session_pb2.SessionRequest(step=step),
            session_pb2.SessionRequest(step_many=session_pb2.StepManyCall(steps=[step, step])),
            session_pb2.SessionRequest(reset=reset),
            session_pb2.SessionRequest(reset=seeds),
            session_pb2.SessionRequest(attribute=called),
            session_pb2.SessionRequest(render=session_pb2.RenderCall()),
            session_pb2.SessionRequest(stats=session_pb2.StatsCall()),
        ):
            call.sequence = 2
            yield head + call.SerializeToString()


def _slabs() -> Iterable[bytes]:
    envs: tuple[Any, Any] = (environments.single(), environments.vector())
    for env in envs:
        contract = read_contract(env)
        num_envs = contract.num_envs if contract.vector else None
        env.action_space.seed(0)
        yield compile_layout(contract.action_space, num_envs).encode(env.action_space.sample())


_mutate_request = message_mutator(session_pb2.SessionRequest)


def _mutate(data: bytes, random: Random) -> bytes | None:
    mutated = _mutate_request(data[1:], random)
    return None if mutated is None else data[:1] + mutated


REQUESTS = Target(
    "requests", "requests, as a server reads and executes them", _opened, _seeds, _mutate
)
