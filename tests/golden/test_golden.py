"""What every released version wrote is read by this one, and means what it meant."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.unknown_fields import UnknownFieldSet

import rlmesh
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.spaces import Space
from rlmesh_api.contract import EnvContract, ModelContract
from rlmesh_api.v1 import contract_pb2, session_pb2, space_pb2
from support.golden import (
    ENVS,
    FOLDER,
    MODEL_SERVICE,
    MODELS,
    RawStream,
    answering,
    asked,
    drive,
    plain,
    says,
)
from support.golden_frames import bytes_of, frames_of, read_direct, read_shm
from support.models import working
from support.serving import serving

FILES = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}
GOLDEN: dict[str, dict[str, Any]] = {
    version: json.loads(path.read_text()) for version, path in FILES.items()
}


PARTS = {
    *("contracts", "values", "frames", "conversations"),
    *("model_contracts", "model_conversations"),
}
# Until a version is released, its bytes may change; after that they are read for ever.
ADVICE = (
    "the wire has changed: if this version is not released yet, run `make golden` and commit what "
    "it writes; else have this version read and answer what released ones write"
)


def each(*parts: str) -> pytest.MarkDecorator:
    cases = [
        pytest.param(entry, id=f"{version} {part} {name}")
        for version, golden in GOLDEN.items()
        for part in parts
        for name, entry in golden.get(part, {}).items()
    ]
    return pytest.mark.parametrize("golden", cases)


def test_this_version_is_recorded() -> None:
    assert rlmesh.__version__ in GOLDEN, "run `make golden`, and commit what it writes"
    assert GOLDEN[rlmesh.__version__].keys() >= PARTS, (
        "run `make golden`, and commit what it writes"
    )


@each("contracts")
def test_a_contract_is_read_and_has_its_fingerprint(golden: dict[str, str]) -> None:
    wire = bytes_of(golden["message"])
    contract = EnvContract.from_proto(contract_pb2.EnvContract.FromString(wire))
    assert contract == EnvContract.from_json(golden["json"]), ADVICE
    assert contract.fingerprint == golden["fingerprint"], ADVICE


@each("model_contracts")
def test_a_contract_of_a_model_is_read_and_has_its_fingerprint(golden: dict[str, str]) -> None:
    wire = bytes_of(golden["message"])
    contract = ModelContract.from_proto(contract_pb2.ModelContract.FromString(wire))
    assert contract == ModelContract.from_json(golden["json"]), ADVICE
    assert contract.fingerprint == golden["fingerprint"], ADVICE


@each("values")
def test_a_value_is_decoded_and_encoded_to_the_same_bytes(golden: dict[str, Any]) -> None:
    space = Space.from_proto(space_pb2.Space.FromString(bytes_of(golden["space"])))
    layout = compile_layout(space, golden["num_envs"])
    for slab, expected in zip(map(bytes_of, golden["slabs"]), golden["values"], strict=True):
        value = layout.decode(slab, 0, len(slab), copy=True)
        assert plain(value) == expected, ADVICE
        assert layout.encode(value, []) == slab, ADVICE


@pytest.mark.skipif(mmap.PAGESIZE != 4096, reason="areas of other pages take other messages")
@each("frames")
def test_a_frame_of_a_transport_is_read_and_written_to_the_same_bytes(
    golden: dict[str, Any],
) -> None:
    message = bytes_of(golden["message"])
    assert read_direct(bytes_of(golden["direct"])) == message, ADVICE
    left = {name: bytes_of(part) for name, part in golden["shm"].items()}
    assert read_shm(**left) == message, ADVICE
    assert frames_of(message) == golden, ADVICE


@each("conversations", "model_conversations")
def test_a_conversation_is_read_as_it_was_meant(golden: dict[str, Any]) -> None:
    for call in golden["calls"]:
        request = session_pb2.SessionRequest.FromString(bytes_of(call["request"]))
        response = session_pb2.SessionResponse.FromString(bytes_of(call["response"]))
        assert [says(request), says(response)] == call["says"], ADVICE
        for message in (request, response):
            assert not len(UnknownFieldSet(message)), ADVICE


@pytest.mark.parametrize(
    ("version", "name"), [(version, name) for version in GOLDEN for name in ENVS]
)
def test_a_server_of_this_version_answers_an_older_client_as_ever(version: str, name: str) -> None:
    with (
        serving(ENVS[name]()) as server,
        grpc.insecure_channel(server.address.removeprefix("tcp://")) as channel,
        RawStream(channel) as stream,
    ):
        for call in GOLDEN[version]["conversations"][name]["calls"]:
            answer = session_pb2.SessionResponse.FromString(stream.ask(bytes_of(call["request"])))
            kind = answer.WhichOneof("answer")
            assert kind in call["says"][1], ADVICE
            if kind != "open":  # which has random names in it
                assert says(answer) == call["says"][1], ADVICE


@pytest.mark.parametrize(
    ("version", "name"), [(version, name) for version in GOLDEN for name in ENVS]
)
def test_a_client_of_this_version_understands_an_older_server_as_ever(
    version: str, name: str
) -> None:
    golden = GOLDEN[version]["conversations"][name]
    wanted_calls: list[dict[str, Any]] = []

    def session(requests: Iterator[bytes]) -> Iterator[bytes]:
        for request, call in zip(requests, golden["calls"], strict=False):
            wanted_calls.append(says(session_pb2.SessionRequest.FromString(request)))
            yield bytes_of(call["response"])

    with answering(lambda _: bytes_of(golden["contract"]), session) as address:
        assert drive(name, address) == golden["returned"], ADVICE
    # But for `open`, where it says who it is and what else it can, it asks as an older one did.
    wanted = [call["says"][0] for call in golden["calls"]]
    assert wanted_calls[1:] == wanted[1:], ADVICE


@pytest.mark.parametrize(
    ("version", "name"), [(version, name) for version in GOLDEN for name in MODELS]
)
def test_a_worker_of_this_version_answers_an_older_client_as_ever(version: str, name: str) -> None:
    with (
        working(MODELS[name]()) as worker,
        grpc.insecure_channel(worker.address.removeprefix("tcp://")) as channel,
        RawStream(channel, MODEL_SERVICE) as stream,
    ):
        for call in GOLDEN[version]["model_conversations"][name]["calls"]:
            answer = session_pb2.SessionResponse.FromString(stream.ask(bytes_of(call["request"])))
            kind = answer.WhichOneof("answer")
            assert kind in call["says"][1], ADVICE
            if kind != "open":  # which has random names in it
                assert says(answer) == call["says"][1], ADVICE


@pytest.mark.parametrize(
    ("version", "name"), [(version, name) for version in GOLDEN for name in MODELS]
)
def test_a_client_of_this_version_understands_an_older_worker_as_ever(
    version: str, name: str
) -> None:
    golden = GOLDEN[version]["model_conversations"][name]

    def session(requests: Iterator[bytes]) -> Iterator[bytes]:
        for _, call in zip(requests, golden["calls"], strict=False):
            yield bytes_of(call["response"])

    with answering(lambda _: bytes_of(golden["contract"]), session, MODEL_SERVICE) as address:
        assert asked(name, address) == golden["returned"], ADVICE
