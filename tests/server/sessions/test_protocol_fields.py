"""Every field that a client can send: which values a server takes, and how it refuses others."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor
from gymnasium.vector import SyncVectorEnv

import rlmesh
from rlmesh.codec.infos.packing import pack
from rlmesh.transports.grpc.transport import session_method
from rlmesh_api.v1 import (
    adapter_pb2,
    contract_pb2,
    env_service_pb2,
    env_service_pb2_grpc,
    session_pb2,
    space_pb2,
)
from support.raw_sessions import SECONDS
from support.sample_envs import ScriptedEnv
from support.serving import serving
from support.watching import channel_to, status_when

# It has no types.
lz4_block: Any = importlib.import_module("lz4.block")

SENSELESS = session_pb2.ERROR_CODE_PROTOCOL
ARGUMENT = session_pb2.ERROR_CODE_INVALID_ARGUMENT
ACTION = session_pb2.ERROR_CODE_INVALID_ACTION
INCOMPATIBLE = session_pb2.ERROR_CODE_INCOMPATIBLE
GONE = session_pb2.ERROR_CODE_SESSION_GONE

ZEROS = np.zeros(2, np.float32).tobytes()
NAN = np.array([0, math.nan], np.float32).tobytes()
DATE = msgpack.packb(msgpack.Timestamp(1, 0))
# Not canonical, and read by msgpack all the same.
LONG_DATE = b"\xc8\x00\x04\xff\0\0\0\1"
# Bytes of a timestamp in a value that holds none.
NO_DATE = pack({"raw": DATE})
DAMAGED = b"\xc1"
# The test puts the secret of a session that has lost its connection in its place.
SECRET = b"?" * 32
MARK, NO_UTF_8 = "MARKMARK", b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe"


class Probe(ScriptedEnv):
    """Has what a client may read, set and call; notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.level = 1
        self.given: list[Any] = []

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.given.append((seed, options))
        return super().reset(seed=seed)

    def add(self, *numbers: int, extra: int = 0) -> int:
        return sum(numbers) + extra


@dataclass(frozen=True)
class Try:
    """One request, and what becomes of it.

    Attributes:
        what: What is in the field.
        request: The request: the first one of a stream, or one that follows `open`. Marked texts in
            it are sent as bytes that are no UTF-8.
        code: How it fails; None: it is answered.
        vector: Whether the endpoint is a vector environment.
    """

    what: str
    request: session_pb2.SessionRequest
    code: int | None = None
    vector: bool = False

    @property
    def begins(self) -> bool:
        """Whether the request is the first one of its stream."""
        kind = self.request.WhichOneof("call")
        return kind in ("open", "resume") and self.request.sequence < 2

    @property
    def ends(self) -> bool:
        """Whether no call can follow."""
        if self.code is not None:
            return self.begins or self.code == SENSELESS
        return self.request.HasField("close") or self.request.resume.leaves


def opening(sequence: int = 1, **fields: Any) -> session_pb2.SessionRequest:
    given: dict[str, Any] = {"protocol_generation": 1, **fields}
    call = session_pb2.OpenCall(**given)
    return session_pb2.SessionRequest(sequence=sequence, open=call)


def peer(**fields: Any) -> session_pb2.SessionRequest:
    return opening(peer=session_pb2.Peer(**fields))


def resuming(sequence: int = 0, **fields: Any) -> session_pb2.SessionRequest:
    given: dict[str, Any] = {"secret": SECRET, "protocol_generation": 1, **fields}
    call = session_pb2.ResumeCall(**given)
    return session_pb2.SessionRequest(sequence=sequence, resume=call)


def call(sequence: int = 2, **kind: Any) -> session_pb2.SessionRequest:
    return session_pb2.SessionRequest(sequence=sequence, **kind)


def reset(**fields: Any) -> session_pb2.SessionRequest:
    return call(reset=session_pb2.ResetCall(**fields))


def step(**fields: Any) -> session_pb2.SessionRequest:
    given: dict[str, Any] = {"action": ZEROS, **fields}
    return call(step=session_pb2.StepCall(**given))


def traced(**fields: Any) -> session_pb2.SessionRequest:
    trace = session_pb2.TraceContext(**fields)
    return call(reset=session_pb2.ResetCall(), trace=trace)


def noticing(vector: bool = False, **fields: Any) -> session_pb2.SessionRequest:
    given: dict[str, Any] = {"kind": "overflow", "path": "$", **fields}
    deviation = session_pb2.Deviation(**given)
    return step(action=ZEROS * (1 + vector), deviations=[deviation])


def steps(*actions: bytes) -> session_pb2.SessionRequest:
    many = [session_pb2.StepCall(action=action) for action in actions]
    return call(step_many=session_pb2.StepManyCall(steps=many))


def predicting(**fields: Any) -> session_pb2.SessionRequest:
    given: dict[str, Any] = {"observation": ZEROS, **fields}
    return call(predict=session_pb2.PredictCall(**given))


def compressed(**fields: Any) -> session_pb2.SessionRequest:
    message = reset().SerializeToString()
    lz4 = session_pb2.COMPRESSION_LZ4
    data = lz4_block.compress(message, store_size=False)
    given: dict[str, Any] = {"compression": lz4, "size": len(message), "data": data, **fields}
    return call(compressed=session_pb2.CompressedMessage(**given))


def some(*actions: session_pb2.PartialAction, batch_size: int = 1) -> session_pb2.SessionRequest:
    return call(step_some=session_pb2.StepSomeCall(actions=actions, batch_size=batch_size))


def attribute(verb: int, name: str, argument: bytes = b"") -> session_pb2.SessionRequest:
    made: Any = {"verb": verb, "name": name, "argument": argument}
    return call(attribute=session_pb2.AttributeCall(**made))


GET = session_pb2.ATTRIBUTE_VERB_GET
SET = session_pb2.ATTRIBUTE_VERB_SET
CALL = session_pb2.ATTRIBUTE_VERB_CALL
NEXT_STEP = contract_pb2.AUTORESET_MODE_NEXT_STEP
SAME_STEP = contract_pb2.AUTORESET_MODE_SAME_STEP
UNSPECIFIED: Any = contract_pb2.AUTORESET_MODE_UNSPECIFIED
UNKNOWN: Any = 99
# The call is in a field that the schema does not have.
UNKNOWN_CALL = session_pb2.SessionRequest.FromString(
    call().SerializeToString() + b"\xfa\x06\x04call"
)


def packed(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"


NO_SPACE = space_pb2.Space()
UNKNOWN_STEPS = adapter_pb2.Adaptation(steps=[adapter_pb2.AdapterStep(name="dream")])
BESIDE = session_pb2.SessionAdaptation()
ONE_ACTION = session_pb2.PartialAction(env_ids=[0], action=ZEROS)
NO_SEEDS: list[Any] = [-1, 1.5, "x", True, [1], (1,), {}, np.int64(1), b"1"]
SEEDS_FOR_TWO: list[Any] = [None, 3, [1, 2], [None, 2**40]]
NO_SEEDS_FOR_TWO: list[Any] = [-1, True, [], [1], [1, 2, 3], [1, -1], [1, True], [1, "x"], (1, 2)]
NO_OPTIONS: list[Any] = [[], [("a", 1)], "x", 3, True, (), np.zeros(2)]
NO_ARGUMENTS: list[Any] = [
    None,
    [],
    [1],
    [[1]],
    [[1], {}, 2],
    [{}, []],
    [(1,), {}],
    ([1], {}),
    [[1], {2: 3}],
    [[1], None],
    {"extra": 1},
]


TABLE: dict[str, list[Try]] = {
    "SessionRequest.sequence": [
        Try("the first", opening()),
        Try("none of the first", opening(sequence=0), SENSELESS),
        Try("the second", call(2, reset=session_pb2.ResetCall())),
        Try("a gap", call(2**64 - 1, reset=session_pb2.ResetCall())),
        Try("that of open", call(1, reset=session_pb2.ResetCall()), SENSELESS),
        Try("none", call(0, reset=session_pb2.ResetCall()), SENSELESS),
    ],
    "SessionRequest.open": [
        Try("the first call", opening()),
        Try("a further call", opening(sequence=2), SENSELESS),
    ],
    "SessionRequest.resume": [
        Try("the first call", resuming()),
        Try("with a number", resuming(sequence=1), SENSELESS),
        Try("a further call", resuming(sequence=2), SENSELESS),
    ],
    "SessionRequest.reset": [Try("empty", reset())],
    "SessionRequest.step": [
        Try("with an action", step()),
        Try("empty", call(step=session_pb2.StepCall()), SENSELESS),
    ],
    "SessionRequest.step_many": [Try("with actions", steps(ZEROS))],
    # tests/parallel has the environments that can do it.
    "SessionRequest.step_some": [
        Try("of one environment", some(), ARGUMENT),
        Try("of sub-environments that step together", some(), ARGUMENT, vector=True),
    ],
    "StepSomeCall.actions": [
        Try("of sub-environments that step together", some(ONE_ACTION), ARGUMENT, vector=True)
    ],
    "StepSomeCall.batch_size": [
        Try("of sub-environments that step together", some(batch_size=9), ARGUMENT, vector=True)
    ],
    "PartialAction.env_ids": [
        Try(
            "of sub-environments that step together",
            some(session_pb2.PartialAction(env_ids=[7], action=ZEROS)),
            ARGUMENT,
            vector=True,
        )
    ],
    "PartialAction.action": [
        Try(
            "of sub-environments that step together",
            some(session_pb2.PartialAction(env_ids=[0], action=b"")),
            ARGUMENT,
            vector=True,
        )
    ],
    "SessionRequest.predict": [Try("at an environment", predicting(), SENSELESS)],
    "PredictCall.chunk": [Try("at an environment", predicting(chunk=True), SENSELESS)],
    "PredictCall.count": [Try("at an environment", predicting(count=2), SENSELESS)],
    "PredictCall.observation": [Try("empty", predicting(observation=b""), SENSELESS)],
    "PredictCall.deviations": [
        Try("at an environment", predicting(deviations=[session_pb2.Deviation()]), SENSELESS)
    ],
    # tests/server/models has the models that take one.
    "PredictCall.offer": [
        Try("at an environment", predicting(offer=session_pb2.ChunkOffer()), SENSELESS)
    ],
    "ChunkOffer.count": [
        Try("at an environment", predicting(offer=session_pb2.ChunkOffer(count=9)), SENSELESS)
    ],
    "ChunkOffer.prefix": [
        Try("at an environment", predicting(offer=session_pb2.ChunkOffer(prefix=b"")), SENSELESS)
    ],
    "ChunkOffer.delay": [
        Try("at an environment", predicting(offer=session_pb2.ChunkOffer(delay=9)), SENSELESS)
    ],
    # tests/transports/compression has what else can be wrong with one.
    "SessionRequest.compressed": [
        Try("a reset", compressed()),
        Try("empty", call(compressed=session_pb2.CompressedMessage()), SENSELESS),
    ],
    "CompressedMessage.compression": [
        Try("unspecified", compressed(compression=0), SENSELESS),
        Try("an unknown one", compressed(compression=UNKNOWN), SENSELESS),
    ],
    "CompressedMessage.size": [
        Try("another one", compressed(size=1), SENSELESS),
        Try("too large", compressed(size=(1 << 26) + 1), SENSELESS),
    ],
    "CompressedMessage.answer": [
        Try("one that the server knows", compressed(answer=session_pb2.COMPRESSION_ZSTD)),
        Try("an unknown one", compressed(answer=UNKNOWN)),
    ],
    "CompressedMessage.data": [
        Try("damaged", compressed(data=b"\xff" * 9), SENSELESS),
        Try("none", compressed(data=b""), SENSELESS),
    ],
    "OpenCall.model": [Try("without effect", opening(model="any"))],
    # tests/server/models/test_steps_beside.py has the models that take one.
    "OpenCall.adaptation": [Try("without effect", opening(adaptation=BESIDE))],
    "SessionAdaptation.observation_space": [
        Try(
            "without effect",
            opening(adaptation=session_pb2.SessionAdaptation(observation_space=NO_SPACE)),
        )
    ],
    "SessionAdaptation.action_space": [
        Try(
            "without effect",
            opening(adaptation=session_pb2.SessionAdaptation(action_space=NO_SPACE)),
        )
    ],
    "SessionAdaptation.adaptation": [
        Try(
            "without effect",
            opening(adaptation=session_pb2.SessionAdaptation(adaptation=UNKNOWN_STEPS)),
        )
    ],
    "SessionRequest.render": [Try("empty", call(render=session_pb2.RenderCall()))],
    "SessionRequest.stats": [Try("empty", call(stats=session_pb2.StatsCall()))],
    "SessionRequest.close": [Try("empty", call(close=session_pb2.CloseCall()))],
    "SessionRequest.attribute": [
        Try("to be read", attribute(GET, "level")),
        Try("empty", call(attribute=session_pb2.AttributeCall()), SENSELESS),
        Try("no call at all", call(), SENSELESS),
        Try("one that nobody knows", UNKNOWN_CALL, SENSELESS),
    ],
    "OpenCall.peer": [Try("absent", opening()), Try("empty", peer())],
    "Peer.name": [
        Try("a text", peer(name="me")),
        Try("no text", peer(name=MARK), SENSELESS),
    ],
    "Peer.pid": [Try("the largest", peer(pid=2**64 - 1))],
    "Peer.host": [
        Try("a text", peer(host="here")),
        Try("no text", peer(host=MARK), SENSELESS),
    ],
    "Peer.version": [
        Try("a text", peer(version="0")),
        Try("no text", peer(version=MARK), SENSELESS),
    ],
    "Peer.implementation": [
        Try("a text", peer(implementation="python")),
        Try("no text", peer(implementation=MARK), SENSELESS),
    ],
    "OpenCall.protocol_generation": [
        Try("the first", opening(protocol_generation=1)),
        Try("a later one", opening(protocol_generation=2**32 - 1)),
        Try("none", opening(protocol_generation=0), INCOMPATIBLE),
    ],
    "OpenCall.autoreset_mode": [
        Try("absent", opening(), vector=True),
        Try("another one", opening(autoreset_mode=SAME_STEP), vector=True),
        Try("unspecified", opening(autoreset_mode=UNSPECIFIED), ARGUMENT, vector=True),
        Try("an unknown one", opening(autoreset_mode=UNKNOWN), ARGUMENT, vector=True),
        Try("of a single endpoint", opening(autoreset_mode=NEXT_STEP), ARGUMENT),
    ],
    "OpenCall.as_vector": [
        Try("with a mode", opening(as_vector=True, autoreset_mode=NEXT_STEP)),
        Try("without one", opening(as_vector=True), ARGUMENT),
        Try("of a vector endpoint", opening(as_vector=True), vector=True),
    ],
    "OpenCall.wait_seconds": [
        Try("a time", opening(wait_seconds=0.5)),
        Try("for ever", opening(wait_seconds=math.inf)),
        Try("negative", opening(wait_seconds=-1), ARGUMENT),
        Try("NaN", opening(wait_seconds=math.nan), ARGUMENT),
    ],
    "OpenCall.resumes": [Try("true", opening(resumes=True)), Try("false", opening())],
    "OpenCall.request_timeout_seconds": [
        Try("a time", opening(request_timeout_seconds=0.5)),
        Try("for ever", opening(request_timeout_seconds=math.inf)),
        Try("negative", opening(request_timeout_seconds=-0.5), ARGUMENT),
        Try("NaN", opening(request_timeout_seconds=math.nan), ARGUMENT),
    ],
    "OpenCall.replaces": [
        Try("none", opening()),
        Try("that of no session", opening(replaces=b"!" * 32)),
        Try("a short one", opening(replaces=b"!")),
    ],
    "ResumeCall.secret": [
        Try("that of a session", resuming()),
        Try("another one", resuming(secret=b"!" * 32), GONE),
        Try("a short one", resuming(secret=b"!"), GONE),
        Try("none", resuming(secret=b""), GONE),
    ],
    "ResumeCall.protocol_generation": [
        Try("a later one", resuming(protocol_generation=99)),
        Try("none", resuming(protocol_generation=0), INCOMPATIBLE),
    ],
    "ResumeCall.leaves": [
        Try("true", resuming(leaves=True)),
        Try("with another secret", resuming(leaves=True, secret=b"!" * 32), GONE),
    ],
    "ResetCall.seed": [
        Try("absent", reset()),
        *(Try(packed(seed), reset(seed=pack(seed))) for seed in (None, 0, 2**40, 2**70)),
        *(Try(packed(seed), reset(seed=pack(seed)), ARGUMENT) for seed in NO_SEEDS),
        Try("damaged", reset(seed=DAMAGED), SENSELESS),
        Try("a date", reset(seed=DATE), SENSELESS),
        *(
            Try(f"{packed(seed)} for two", reset(seed=pack(seed)), vector=True)
            for seed in SEEDS_FOR_TWO
        ),
        *(
            Try(f"{packed(seed)} for two", reset(seed=pack(seed)), ARGUMENT, vector=True)
            for seed in NO_SEEDS_FOR_TWO
        ),
    ],
    "ResetCall.options": [
        Try("absent", reset()),
        *(
            Try(packed(options), reset(options=pack(options)))
            for options in (None, {}, {"a": 1}, {1: 2})
        ),
        *(Try(packed(options), reset(options=pack(options)), ARGUMENT) for options in NO_OPTIONS),
        Try("bytes like a date", reset(options=NO_DATE)),
        Try("damaged", reset(options=DAMAGED), SENSELESS),
        Try("a date", reset(options=DATE), SENSELESS),
        *(
            Try(f"{what} in it", reset(options=b"\x81\xa1a" + date), SENSELESS)
            for what, date in {
                "a date": DATE,
                "a long date": LONG_DATE,
                "a list of a date": b"\x91" + DATE,
                "a date in a dict": b"\x81\xa1b" + DATE,
            }.items()
        ),
    ],
    "StepCall.action": [
        Try("a slab", step()),
        Try("out of bounds", step(action=np.full(2, 9, np.float32).tobytes())),
        Try("no number", step(action=NAN), ACTION),
        Try("too short", step(action=ZEROS[:-1]), SENSELESS),
        Try("too long", step(action=ZEROS + b"\0"), SENSELESS),
        Try("none", step(action=b""), SENSELESS),
    ],
    "StepCall.deviations": [
        Try("none", step()),
        Try("one", noticing()),
        Try(
            "of a damaged slab",
            step(action=b"", deviations=[session_pb2.Deviation(kind="overflow", path="$")]),
            SENSELESS,
        ),
    ],
    "Deviation.kind": [
        Try("what a client can notice", noticing()),
        Try("bounds", noticing(kind="bounds"), SENSELESS),
        Try("none", noticing(kind=""), SENSELESS),
        Try("no text", noticing(kind=MARK), SENSELESS),
    ],
    "Deviation.path": [
        Try("a leaf", noticing()),
        Try("no leaf", noticing(path="$.x"), SENSELESS),
        Try("none", noticing(path=""), SENSELESS),
    ],
    "Deviation.env_index": [
        Try("absent", noticing()),
        Try("of a single environment", noticing(env_index=0), SENSELESS),
        Try("absent of a vector", noticing(vector=True), vector=True),
        Try("the last", noticing(vector=True, env_index=1), vector=True),
        Try("beyond", noticing(vector=True, env_index=2), SENSELESS, vector=True),
    ],
    "Deviation.detail": [
        Try("a text", noticing(detail="1e300 is too large")),
        Try("no text", noticing(detail=MARK), SENSELESS),
    ],
    "StepManyCall.steps": [
        Try("none", steps()),
        Try("two", steps(ZEROS, ZEROS)),
        Try("a refused one", steps(NAN)),
        Try("a damaged one", steps(b"", ZEROS), SENSELESS),
    ],
    "SessionRequest.trace": [
        Try("one", traced(traceparent=f"00-{'a' * 32}-{'b' * 16}-01")),
        Try("an empty one", traced()),
    ],
    "TraceContext.traceparent": [
        Try("none that can be read", traced(traceparent="00-" + "z" * 52)),
        Try("an endless one", traced(traceparent="0" * 1_000_000)),
        Try("no text", traced(traceparent=MARK), SENSELESS),
    ],
    "TraceContext.tracestate": [
        Try("one", traced(tracestate="vendor=value")),
        Try("none that can be read", traced(tracestate="=,;" * 100)),
        Try("an endless one", traced(tracestate="a=b," * 250_000)),
        Try("no text", traced(tracestate=MARK), SENSELESS),
    ],
    "AttributeCall.verb": [
        Try("get", attribute(GET, "level")),
        Try("set", attribute(SET, "level", pack(2))),
        Try("call", attribute(CALL, "add", pack([[1, 2], {}]))),
        Try("unspecified", attribute(0, "level"), SENSELESS),
        Try("an unknown one", attribute(99, "level"), SENSELESS),
    ],
    "AttributeCall.name": [
        Try("an exposed one", attribute(GET, "level")),
        Try("a hidden one", attribute(GET, "script"), ARGUMENT),
        Try("none", attribute(GET, ""), ARGUMENT),
        Try("no text", attribute(GET, MARK), SENSELESS),
    ],
    "AttributeCall.argument": [
        Try("none to read", attribute(GET, "level")),
        Try("one to read", attribute(GET, "level", pack(None)), SENSELESS),
        Try("None to set", attribute(SET, "level", pack(None))),
        Try("none to set", attribute(SET, "level"), SENSELESS),
        Try("a damaged one", attribute(SET, "level", DAMAGED), SENSELESS),
        Try("a date", attribute(SET, "level", DATE), SENSELESS),
        Try("none to call", attribute(CALL, "add"), SENSELESS),
        Try("arguments", attribute(CALL, "add", pack([[1], {"extra": 2}]))),
        *(
            Try(f"{packed(argument)} to call", attribute(CALL, "add", pack(argument)), SENSELESS)
            for argument in NO_ARGUMENTS
        ),
    ],
}
CASES = [
    pytest.param(each, id=f"{field}: {each.what}") for field, row in TABLE.items() for each in row
]


# What a viewer asks for; a server takes all of it.
WATCHES: dict[str, list[float]] = {
    "WatchRequest.rate": [0.0, 60.0, math.inf, -math.inf, math.nan],
    "WatchRequest.env_index": [0, 1, 2**32 - 1],
    "WatchRequest.render_rate": [0.0, 60.0, math.inf, -math.inf, math.nan],
}


# Steps and spaces are read as those of a contract are: tests/server/models/test_steps_beside.py.
CONVERSATION = {f"rlmesh_api/v1/{name}.proto" for name in ("env_service", "session")}


def fields_of(message: Descriptor, seen: set[str]) -> Iterator[str]:
    """Every field of a message, and of the messages in it but for those of a contract."""
    if message.name in seen or message.file.name not in CONVERSATION:
        return
    seen.add(message.name)
    for field in message.fields:
        yield f"{message.name}.{field.name}"
        if field.message_type is not None:
            yield from fields_of(field.message_type, seen)


def test_the_table_has_every_field_that_a_client_can_send() -> None:
    seen: set[str] = set()
    service = env_service_pb2.DESCRIPTOR.services_by_name["EnvService"]
    fields = {field for method in service.methods for field in fields_of(method.input_type, seen)}
    assert TABLE.keys() | WATCHES.keys() == fields


@pytest.fixture(scope="module")
def single() -> Generator[tuple[rlmesh.EnvServer, list[Probe]]]:
    env = Probe()
    options = rlmesh.ServeOptions(resume_timeout_seconds=3600)
    with serving(env, expose=("level", "add"), options=options) as server:
        yield server, [env]


@pytest.fixture(scope="module")
def vector() -> Generator[tuple[rlmesh.EnvServer, list[Probe]]]:
    members = [Probe(), Probe()]
    makers: Any = [lambda env=env: env for env in members]
    with serving(SyncVectorEnv(makers)) as server:
        yield server, members


def test_a_viewer_gets_an_answer_whatever_it_asks_for(
    single: tuple[rlmesh.EnvServer, list[Probe]],
) -> None:
    asked: list[dict[str, Any]] = [
        {field.partition(".")[2]: value} for field, values in WATCHES.items() for value in values
    ]
    with channel_to(single[0].address) as channel:
        stub = env_service_pb2_grpc.EnvServiceStub(channel)
        for fields in asked:
            answers = stub.Watch(env_service_pb2.WatchRequest(**fields), timeout=SECONDS)
            next(answers)
            answers.cancel()


@pytest.mark.parametrize("case", CASES)
def test_a_server_takes_what_the_page_allows_and_refuses_the_rest(
    case: Try, request: pytest.FixtureRequest
) -> None:
    server, envs = request.getfixturevalue("vector" if case.vector else "single")
    for env in envs:
        env.calls.clear()
    with free(server.address) as secrets:
        first = [] if case.begins else [opening()]
        message = case.request
        if case.begins and message.resume.secret == SECRET:
            # Of a session that has lost its connection.
            message = session_pb2.SessionRequest.FromString(message.SerializeToString())
            (opened,) = converse(server.address, opening(resumes=True))
            message.resume.secret = opened.open.secret
            secrets.append(opened.open.secret)
        number = min(message.sequence + 1, 2**64 - 1)
        after = call(max(number, 2), stats=session_pb2.StatsCall())
        answers = converse(server.address, *first, message, after)
        secrets += [answer.open.secret for answer in answers if answer.HasField("open")]
    told, *rest = answers[len(first) :]
    if case.code is None:
        assert told.WhichOneof("answer") != "failure", told.failure.message
    else:
        assert told.failure.code == case.code, told
        assert told.failure.message
        assert not any(env.names() for env in envs)
    assert len(rest) == (0 if case.ends else 1)


@contextlib.contextmanager
def free(address: str) -> Generator[list[bytes]]:
    """Waits for the server's one place; at the end leaves the sessions whose secrets it holds."""
    status_when(address, lambda told: not told.sessions)
    secrets: list[bytes] = []
    yield secrets
    for secret in secrets:
        converse(address, resuming(leaves=True, secret=secret))


def converse(
    address: str, *requests: session_pb2.SessionRequest
) -> list[session_pb2.SessionResponse]:
    """Sends requests on one stream, and gives every answer until its end."""
    messages = [each.SerializeToString().replace(MARK.encode(), NO_UTF_8) for each in requests]
    with channel_to(address) as channel:
        method: Any = channel.stream_stream(session_method("rlmesh_api.v1.EnvService"))
        answers = method(iter(messages), timeout=SECONDS)
        return [session_pb2.SessionResponse.FromString(answer) for answer in answers]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (reset(), step()),
        (step(), reset()),
        (reset(), call(render=session_pb2.RenderCall())),
        (reset(seed=pack(1)), reset(seed=pack(2))),
        (steps(ZEROS), step()),
        (step(), steps(ZEROS)),
        (attribute(SET, "level", pack(2)), attribute(SET, "level", pack(3))),
        (attribute(GET, "level"), call(stats=session_pb2.StatsCall())),
    ],
    ids=lambda request: str(request.WhichOneof("call")),
)
def test_a_number_that_another_call_had_ends_the_session(
    single: tuple[rlmesh.EnvServer, list[Probe]],
    first: session_pb2.SessionRequest,
    again: session_pb2.SessionRequest,
) -> None:
    server, _ = single
    with free(server.address):
        _, answer, refused = converse(server.address, opening(), first, again, step())
    assert answer.WhichOneof("answer") == first.WhichOneof("call")
    assert refused.failure.code == SENSELESS
    assert "call 2 was another call" in refused.failure.message
