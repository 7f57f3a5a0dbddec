"""Golden bytes: what one version of RLMesh wrote, in a form that every later one compares with."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import gymnasium
import numpy as np
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from gymnasium.spaces import Box, Dict
from gymnasium.vector.utils import concatenate, create_empty_array
from typing_extensions import Self

import rlmesh
from rlmesh import adapters as ad
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.contract import EnvContract, ModelContract, read_contract, read_model_contract
from rlmesh.envs.agents import joint_env, read_joint_contract
from rlmesh.spaces import from_gymnasium_space
from rlmesh_api.v1 import session_pb2
from support.agents import Herd
from support.contracts import a_contract, full_model_contract, fully_set
from support.golden_frames import MESSAGES, frames_of, text_of
from support.models import OBSERVATIONS, OfChunks, Planning, Recurrent, observation, working
from support.repository import ROOT
from support.sample_envs import EchoEnv, echo_vector
from support.sample_spaces import SAMPLE_SPACES, UNSAMPLEABLE
from support.serving import serving

FOLDER = ROOT / "tests" / "golden"
SERVICE = "rlmesh_api.v1.EnvService"
MODEL_SERVICE = "rlmesh_api.v1.ModelService"
SUB_ENVS = 2

ENVS: dict[str, Callable[[], Any]] = {
    "cartpole": lambda: gymnasium.make("CartPole-v1"),
    "dict": lambda: EchoEnv("dict", "ansi"),
    "nested": lambda: EchoEnv("nested"),
    "sub_envs": lambda: echo_vector("nested", SUB_ENVS),
    "agents": Herd,
}


MODELS: dict[str, Callable[[], Any]] = {
    "actions": Recurrent,
    "chunks": OfChunks,
    "planning": Planning,
    "adapted": OfChunks,
}
# What the client of "adapted" has its worker apply.
STEPS = [ad.cast("float32", at="state"), ad.take([1], on="action")]
SMALLER = a_contract(
    observation_space=from_gymnasium_space(
        Dict({"image": OBSERVATIONS["image"], "state": Box(-1, 1, (3,), np.int8)})
    ),
    action_space=from_gymnasium_space(Box(-1, 1, (1,), np.float32)),
)


def plain(value: Any) -> Any:
    """A value as JSON data from which its types, shapes and every bit can be told."""
    if isinstance(value, dict):
        return {"dict": [[key, plain(part)] for key, part in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [plain(part) for part in value]}
    if isinstance(value, list):
        return {"list": [plain(part) for part in value]}
    if isinstance(value, str):
        return {"text": value}
    array = np.asarray(value)
    items = [repr(item) for item in array.reshape(-1).tolist()]
    kind = "array" if isinstance(value, np.ndarray) else "scalar"
    return {kind: array.dtype.str, "shape": list(array.shape), "items": items}


def recording() -> dict[str, Any]:
    """Everything that a golden file holds, as this version writes it."""
    return {
        "version": rlmesh.__version__,
        "contracts": {name: _contract(contract) for name, contract in _contracts().items()},
        "values": {
            f"{name} {'num_envs' if num_envs else 'single'}": _values(name, num_envs)
            for name in SAMPLE_SPACES
            if name not in UNSAMPLEABLE
            # Gymnasium cannot batch a Text without characters.
            for num_envs in ((None,) if name == "text_no_characters" else (None, SUB_ENVS))
        },
        "conversations": {name: _conversation(name, make()) for name, make in ENVS.items()},
        "model_contracts": {name: _contract(each) for name, each in _model_contracts().items()},
        "model_conversations": {
            name: _model_conversation(name, make()) for name, make in MODELS.items()
        },
        "frames": {name: frames_of(message) for name, message in MESSAGES.items()},
    }


def _contracts() -> dict[str, EnvContract]:
    of_spaces = {
        name: a_contract(observation_space=from_gymnasium_space(space))
        for name, space in SAMPLE_SPACES.items()
    }
    return {
        **of_spaces,
        "fully set": fully_set(),
        **{f"of {name}": _contract_of(make()) for name, make in ENVS.items()},
    }


def _contract_of(env: Any) -> EnvContract:
    joint = joint_env(env)
    return read_contract(env) if joint is None else read_joint_contract(joint)


def _model_contracts() -> dict[str, ModelContract]:
    return {
        "fully set": full_model_contract(),
        **{f"of {name}": read_model_contract(make()) for name, make in MODELS.items()},
    }


def _contract(contract: EnvContract | ModelContract) -> dict[str, str]:
    return {
        "message": text_of(contract.to_proto().SerializeToString(deterministic=True)),
        "json": contract.to_json(),
        "fingerprint": contract.fingerprint,
    }


def _values(name: str, num_envs: int | None) -> dict[str, Any]:
    space = from_gymnasium_space(SAMPLE_SPACES[name])
    layout = compile_layout(space, num_envs)
    slabs = [layout.encode(value, []) for value in _samples(SAMPLE_SPACES[name], num_envs)]
    return {
        "space": text_of(space.to_proto().SerializeToString(deterministic=True)),
        "num_envs": num_envs,
        "slabs": [text_of(slab) for slab in slabs],
        "values": [plain(layout.decode(slab, 0, len(slab), copy=True)) for slab in slabs],
    }


def _samples(space: gymnasium.Space[Any], num_envs: int | None) -> list[Any]:
    space.seed(0)
    if num_envs is None:
        return [space.sample() for _ in range(2)]
    values = [space.sample() for _ in range(num_envs)]
    room: Any = create_empty_array(space, num_envs)
    return [concatenate(space, values, room)]


def driven(address: str, *, vector: bool) -> list[Any]:
    """Drives a short session; what its calls return, as JSON data."""
    client = rlmesh.RemoteVectorEnv if vector else rlmesh.RemoteEnv
    remote: Any = client(address, transport="grpc")
    remote.action_space.seed(0)
    results = [remote.reset(seed=3, options={"a": [1, 2.5, None]})]
    results += [remote.step(remote.action_space.sample()) for _ in range(3)]
    # As a plain tuple, whatever class it is of.
    results.append(tuple(remote.step_many([remote.action_space.sample() for _ in range(2)])))
    if remote.render_mode:
        results.append(remote.render())
    remote.close()
    return [plain(result) for result in results]


def driven_together(address: str) -> list[Any]:
    """The same with an environment of many agents."""
    remote = rlmesh.RemoteParallelEnv(address, transport="grpc")
    results: list[Any] = [remote.reset(seed=3, options={"a": [1, 2.5, None]})]
    for index, name in enumerate(remote.possible_agents):
        remote.action_space(name).seed(index)
    for _ in range(2):
        acting = list(remote.agents)
        results.append(remote.step({name: remote.action_space(name).sample() for name in acting}))
        results.append(list(remote.agents))
    results.append(remote.render())
    remote.close()
    return [plain(result) for result in results]


def drive(name: str, address: str) -> list[Any]:
    """Drives a short session with one of `ENVS`."""
    if name == "agents":
        return driven_together(address)
    return driven(address, vector=name == "sub_envs")


def asked(name: str, address: str) -> list[Any]:
    """Asks one of `MODELS` in a short session; what its calls return, as JSON data."""
    seen = [observation(seed) for seed in range(2)]
    settings: dict[str, Any] = {}
    if name == "adapted":
        settings = {"env": SMALLER, "steps": STEPS}
        seen = [{**each, "state": np.array([1, -1, 0], np.int8)} for each in seen]
    remote = rlmesh.RemoteModel(address, transport="grpc", **settings)
    remote.reset(seed=3, options={"a": [1, 2.5, None]})
    results: list[Any] = [remote.version, remote.predict(seen[0]), remote.predict_chunk(seen[1])]
    results += [remote.predict_batch(seen), remote.predict_chunk_batch(seen)]
    if remote.model_contract.takes_prefix:
        results.append(remote.predict_chunk(seen[0], prefix=results[2][1:], delay=2))
    remote.close()
    return [plain(result) for result in results]


def _conversation(name: str, env: Any) -> dict[str, Any]:
    """The calls of a short session, each with its answer, as they cross the stream."""
    with serving(env) as server, _listening(server.address, SERVICE) as (address, crossed):
        returned = drive(name, address)
    return _recorded(crossed, returned)


def _model_conversation(name: str, model: Any) -> dict[str, Any]:
    """The same with a model."""
    with working(model) as worker, _listening(worker.address, MODEL_SERVICE) as (address, crossed):
        returned = asked(name, address)
    return _recorded(crossed, returned)


def _recorded(crossed: list[tuple[bytes, bytes]], returned: list[Any]) -> dict[str, Any]:
    contract, *calls = crossed
    return {
        "contract": text_of(contract[1]),
        "returned": returned,
        "calls": [
            {
                "request": text_of(request),
                "response": text_of(response),
                "says": [
                    says(session_pb2.SessionRequest.FromString(request)),
                    says(session_pb2.SessionResponse.FromString(response)),
                ],
            }
            for request, response in calls
        ],
    }


def says(message: Message) -> dict[str, Any]:
    """What a message says, field by field, but for the seconds that a prediction took."""
    data: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    for name in ("queue_seconds", "model_seconds"):
        data.get("predict", {}).pop(name, None)
    return data


@contextlib.contextmanager
def _listening(address: str, service: str) -> Generator[tuple[str, list[tuple[bytes, bytes]]]]:
    """An address that passes everything on, and what has crossed: the contract, then the calls."""
    crossed: list[tuple[bytes, bytes]] = []
    with grpc.insecure_channel(address.removeprefix("tcp://")) as channel:
        ask: Any = channel.unary_unary(f"/{service}/GetContract")

        def contract(request: bytes) -> bytes:
            if not crossed:
                crossed.append((request, ask(request)))
            return crossed[0][1]

        def session(requests: Iterator[bytes]) -> Iterator[bytes]:
            with RawStream(channel, service) as stream:
                for request in requests:
                    response = stream.ask(request)
                    crossed.append((request, response))
                    yield response

        with answering(contract, session, service) as own:
            yield own, crossed


@contextlib.contextmanager
def answering(
    contract: Callable[[bytes], bytes],
    session: Callable[[Iterator[bytes]], Iterator[bytes]],
    service: str = SERVICE,
) -> Generator[str]:
    """An address that answers with bytes.

    Args:
        contract: Answers who asks for the contract.
        session: Answers the requests of a session, one by one.
        service: The name of the service.
    """
    handlers: dict[str, Any] = {
        "GetContract": grpc.unary_unary_rpc_method_handler(lambda asked, _: contract(asked)),
        "Session": grpc.stream_stream_rpc_method_handler(lambda requests, _: session(requests)),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


class RawStream:
    """A session's stream of bytes that nobody reads meanwhile; a context that ends it."""

    def __init__(self, channel: grpc.Channel, service: str = SERVICE) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        session: Any = channel.stream_stream(f"/{service}/Session")
        self._answers: Any = session(iter(self._requests.get, None))

    def ask(self, request: bytes) -> bytes:
        """The answer to a request."""
        self._requests.put(request)
        answer: bytes = next(self._answers)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.put(None)
