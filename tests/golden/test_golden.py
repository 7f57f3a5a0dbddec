"""What every released version wrote is read by this one, and means what it meant."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from google.protobuf.unknown_fields import UnknownFieldSet

import rlmesh
from rlmesh.spaces import Space
from rlmesh.values.layout import compile_layout
from rlmesh_api.contract import EnvContract
from rlmesh_api.v1 import contract_pb2, session_pb2, space_pb2
from support.golden import ENVS, FOLDER, RawStream, bytes_of, plain, says
from support.serving import serving

FILES = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}
GOLDEN: dict[str, dict[str, Any]] = {
    version: json.loads(path.read_text()) for version, path in FILES.items()
}


def each(part: str) -> pytest.MarkDecorator:
    cases = [
        pytest.param(entry, id=f"{version} {name}")
        for version, golden in GOLDEN.items()
        for name, entry in golden[part].items()
    ]
    return pytest.mark.parametrize("golden", cases)


def test_this_version_is_recorded() -> None:
    assert rlmesh.__version__ in GOLDEN, "run `make golden`, and commit what it writes"


@each("contracts")
def test_a_contract_is_read_and_has_its_fingerprint(golden: dict[str, str]) -> None:
    wire = bytes_of(golden["message"])
    contract = EnvContract.from_proto(contract_pb2.EnvContract.FromString(wire))
    assert contract == EnvContract.from_json(golden["json"])
    assert contract.fingerprint == golden["fingerprint"]


@each("values")
def test_a_value_is_decoded_and_encoded_to_the_same_bytes(golden: dict[str, Any]) -> None:
    space = Space.from_proto(space_pb2.Space.FromString(bytes_of(golden["space"])))
    layout = compile_layout(space, golden["lanes"])
    for slab, expected in zip(map(bytes_of, golden["slabs"]), golden["values"], strict=True):
        value = layout.decode(slab, 0, len(slab), copy=True)
        assert plain(value) == expected
        assert layout.encode(value, []) == slab


@each("conversations")
def test_a_conversation_is_read_as_it_was_meant(golden: list[dict[str, Any]]) -> None:
    for call in golden:
        request = session_pb2.SessionRequest.FromString(bytes_of(call["request"]))
        response = session_pb2.SessionResponse.FromString(bytes_of(call["response"]))
        assert [says(request), says(response)] == call["says"]
        for message in (request, response):
            assert not len(UnknownFieldSet(message))


@pytest.mark.parametrize(
    ("version", "name"), [(version, name) for version in GOLDEN for name in ENVS]
)
def test_a_server_of_this_version_answers_an_older_client_as_ever(version: str, name: str) -> None:
    with (
        serving(ENVS[name]()) as server,
        grpc.insecure_channel(server.address.removeprefix("tcp://")) as channel,
        RawStream(channel) as stream,
    ):
        for call in GOLDEN[version]["conversations"][name]:
            answer = session_pb2.SessionResponse.FromString(stream.ask(bytes_of(call["request"])))
            kind = answer.WhichOneof("answer")
            assert kind in call["says"][1]
            if kind != "open":  # which has random names in it
                assert says(answer) == call["says"][1]
