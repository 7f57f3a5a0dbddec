"""A client that shares no code with RLMesh: grpcio, struct, and the page of the protocol.

    python client.py PROTO_FOLDER ADDRESS TRANSPORT ACTIONS

It compiles the protos below PROTO_FOLDER and drives the single environment that is served at
ADDRESS, `HOST:PORT`, over the TRANSPORT `grpc`, `direct` or `shm`: a reset with seed 7, and a step
for each of the ACTIONS, a JSON list. It prints as JSON what it has seen. Comments repeat what the
page says.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import queue
import select
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

# NumPy's names of the dtypes of the contract, and what struct calls their elements.
FORMATS = {
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FLOAT16": "e",
    "FLOAT32": "f",
    "FLOAT64": "d",
}


def compile_protos(folder: str, out: str) -> None:
    """Writes the modules of the messages, and makes them importable."""
    protoc: Any = importlib.import_module("grpc_tools.protoc")
    protos = [str(path) for path in Path(folder).rglob("*.proto")]
    options = [f"--proto_path={folder}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(["protoc", *options, *protos]):
        raise SystemExit("the protos cannot be compiled")
    # A package without this loses against one with it, wherever that stands on the path.
    for package in ("rlmesh_api", "rlmesh_api/v1"):
        Path(out, package, "__init__.py").touch()
    sys.path.insert(0, out)


def leaves(space: Any) -> list[Any]:
    """The spaces that hold no other space, in declared order, depth first."""
    kind = space.WhichOneof("kind")
    if kind == "tuple":
        return [leaf for part in space.tuple.spaces for leaf in leaves(part)]
    if kind == "dict":
        return [leaf for entry in space.dict.entries for leaf in leaves(entry.space)]
    return [space]


def form(space: Any) -> tuple[tuple[int, ...], str]:
    """The shape of a leaf's array, and what struct calls its elements."""
    kind = space.WhichOneof("kind")
    if kind == "text":
        return (), "I"
    if kind == "multi_binary":
        return tuple(space.multi_binary.shape), "b"
    arm = getattr(space, kind)
    name = type(arm).DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number[arm.dtype].name
    shape = () if kind == "discrete" else tuple(arm.shape)
    return shape, FORMATS[name.removeprefix("DTYPE_")]


def count(shape: tuple[int, ...]) -> int:
    size = 1
    for axis in shape:
        size *= axis
    return size


def decode(space: Any, slab: bytes) -> Any:
    """The value in a slab; arrays are lists in C order."""
    offset = 0
    arrays: list[Any] = []
    for leaf in leaves(space):
        shape, letter = form(leaf)
        # An array begins at the first offset that is a multiple of 8.
        offset += -offset % 8
        numbers = struct.unpack_from(f"<{count(shape)}{letter}", slab, offset)
        arrays.append(numbers)
        offset += struct.calcsize(f"<{count(shape)}{letter}")
    # The tail begins right after the last array, without padding.
    tail = offset
    values: list[Any] = []
    for leaf, numbers in zip(leaves(space), arrays, strict=True):
        kind = leaf.WhichOneof("kind")
        if kind == "text":
            values.append(slab[tail : tail + numbers[0]].decode("utf-8", "surrogatepass"))
            tail += numbers[0]
        else:
            values.append(numbers[0] if kind == "discrete" else list(numbers))
    if tail != len(slab):
        raise SystemExit("the slab ends with the tail")
    return assemble(space, iter(values))


def assemble(space: Any, values: Iterator[Any]) -> Any:
    kind = space.WhichOneof("kind")
    if kind == "tuple":
        return [assemble(part, values) for part in space.tuple.spaces]
    if kind == "dict":
        return {entry.key: assemble(entry.space, values) for entry in space.dict.entries}
    return next(values)


def take_apart(space: Any, value: Any) -> list[Any]:
    kind = space.WhichOneof("kind")
    if kind == "tuple":
        pairs = list(zip(space.tuple.spaces, value, strict=True))
    elif kind == "dict":
        pairs = [(entry.space, value[entry.key]) for entry in space.dict.entries]
    else:
        return [value]
    return [part for child, inner in pairs for part in take_apart(child, inner)]


def encode(space: Any, value: Any) -> bytes:
    """The slab of a value as `decode` gives it."""
    fixed, tail = b"", b""
    for leaf, part in zip(leaves(space), take_apart(space, value), strict=True):
        shape, letter = form(leaf)
        if leaf.WhichOneof("kind") == "text":
            text = part.encode("utf-8", "surrogatepass")
            tail += text
            numbers = [len(text)]
        else:
            numbers = part if isinstance(part, list) else [part]
        fixed += bytes(-len(fixed) % 8)
        fixed += struct.pack(f"<{count(shape)}{letter}", *numbers)
    return fixed + tail


def unpack(data: bytes) -> Any:
    """The value of MessagePack bytes; an extension is a pair of its type and its payload."""
    value, end = unpack_at(data, 0)
    if end != len(data):
        raise SystemExit("a packed value is one MessagePack object")
    return value


LENGTHS = {
    0xC4: ("bin", "B"),
    0xC5: ("bin", "H"),
    0xC6: ("bin", "I"),
    0xC7: ("ext", "B"),
    0xC8: ("ext", "H"),
    0xC9: ("ext", "I"),
    0xD9: ("str", "B"),
    0xDA: ("str", "H"),
    0xDB: ("str", "I"),
    0xDC: ("array", "H"),
    0xDD: ("array", "I"),
    0xDE: ("map", "H"),
    0xDF: ("map", "I"),
}
NUMBERS = dict(
    zip((0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3), "fdBHIQbhiq", strict=True)
)


def unpack_at(data: bytes, at: int) -> tuple[Any, int]:
    byte, at = data[at], at + 1
    if byte < 0x80 or byte >= 0xE0:
        return (byte if byte < 0x80 else byte - 0x100), at
    if byte in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[byte], at
    if byte in NUMBERS:
        letter = f">{NUMBERS[byte]}"
        return struct.unpack_from(letter, data, at)[0], at + struct.calcsize(letter)
    if byte < 0xC0:
        kind = "map" if byte < 0x90 else "array" if byte < 0xA0 else "str"
        length = byte & (0x1F if kind == "str" else 0x0F)
    elif 0xD4 <= byte <= 0xD8:
        kind, length = "ext", 1 << (byte - 0xD4)
    else:
        kind, letter = LENGTHS[byte]
        length = struct.unpack_from(f">{letter}", data, at)[0]
        at += struct.calcsize(letter)
    if kind in ("array", "map"):
        items: list[Any] = []
        for _ in range(length * (2 if kind == "map" else 1)):
            item, at = unpack_at(data, at)
            items.append(item)
        return (dict(zip(items[::2], items[1::2], strict=True)) if kind == "map" else items), at
    if kind == "ext":
        return [data[at], data[at + 1 : at + 1 + length].hex()], at + 1 + length
    raw = data[at : at + length]
    return (raw.decode("utf-8", "surrogatepass") if kind == "str" else raw.hex()), at + length


class Direct:
    """The transport `direct`: a message is its length and itself."""

    def __init__(self, address: str, secret: bytes) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host or "127.0.0.1", int(port)), 20)
        self._socket.sendall(secret)
        if self._socket.recv(1) != b"\1":
            raise SystemExit("the greeting is the byte 1")

    def exchange(self, message: bytes) -> bytes:
        self._socket.sendall(struct.pack("<Q", len(message)) + message)
        (length,) = struct.unpack("<Q", self._socket.recv(8, socket.MSG_WAITALL))
        return self._socket.recv(length, socket.MSG_WAITALL)

    def close(self) -> None:
        self._socket.close()


class Shm:
    """The transport `shm`: messages stand in a shared segment."""

    def __init__(self, name: str, secret: bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(f"\0{name}")
        self._socket.sendall(secret)
        sizes, [descriptor], _, _ = socket.recv_fds(self._socket, 16, 1)
        request, answer = struct.unpack("<2Q", sizes)
        page = mmap.PAGESIZE
        self._segment = mmap.mmap(descriptor, page + request + answer)
        os.close(descriptor)
        self._request, self._answer = page, page + request
        self._posted = 0

    def exchange(self, message: bytes) -> bytes:
        segment, begin = self._segment, self._request
        struct.pack_into("<3Q", segment, begin, 24, 24 + len(message), 0)
        segment[begin + 24 : begin + 24 + len(message)] = message
        self._posted = (self._posted + 1) % 256
        segment[0] = self._posted
        self._socket.send(b"!")
        # The server's answers are as many as the calls.
        while segment[64] != self._posted:
            segment[1] = 1
            if segment[64] != self._posted and select.select([self._socket], [], [], 0.001)[0]:
                self._socket.recv(99)
            segment[1] = 0
        start, end, elsewhere = struct.unpack_from("<3Q", segment, self._answer)
        if elsewhere:
            raise SystemExit("answers this large are not asked for here")
        return segment[self._answer + start : self._answer + end]

    def close(self) -> None:
        self._segment.close()
        self._socket.close()


def drive(address: str, transport: str, actions: list[Any]) -> dict[str, Any]:
    env_service_pb2: Any = importlib.import_module("rlmesh_api.v1.env_service_pb2")
    env_service_pb2_grpc: Any = importlib.import_module("rlmesh_api.v1.env_service_pb2_grpc")
    session_pb2: Any = importlib.import_module("rlmesh_api.v1.session_pb2")
    seen: dict[str, Any] = {"steps": []}
    with grpc.insecure_channel(address) as channel:
        stub = env_service_pb2_grpc.EnvServiceStub(channel)
        told = stub.GetContract(env_service_pb2.GetContractRequest(), timeout=20)
        contract = told.contract
        seen["id"] = contract.id
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        answers = stub.Session(iter(requests.get, None), timeout=60)
        sequence = 0
        port: Direct | Shm | None = None

        def call(**named: Any) -> Any:
            # 1 for `open`, then one more for every call; every call gets exactly one answer.
            nonlocal sequence
            sequence += 1
            request = session_pb2.SessionRequest(sequence=sequence, **named)
            if port is None:
                requests.put(request)
                answer = next(answers)
            else:
                message = port.exchange(request.SerializeToString())
                answer = session_pb2.SessionResponse.FromString(message)
            kind = answer.WhichOneof("answer")
            if answer.sequence != sequence or kind != next(iter(named)):
                raise SystemExit(f"call {sequence} was answered with {answer}")
            return getattr(answer, kind)

        peer = session_pb2.Peer(name="foreign", version="0")
        generation = min(1, told.protocol_generation)
        opened = call(open=session_pb2.OpenCall(peer=peer, protocol_generation=generation))
        if transport != "grpc":
            [where] = [offer.address for offer in opened.transports if offer.transport == transport]
            port = (Direct if transport == "direct" else Shm)(where, opened.secret)
        # A packed value: 7 is a MessagePack integer of one byte.
        reset = call(reset=session_pb2.ResetCall(seed=b"\x07"))
        seen["observation"] = decode(contract.observation_space, reset.observation)
        seen["info"] = unpack(reset.info) if reset.info else {}
        for action in actions:
            slab = encode(contract.action_space, action)
            step = call(step=session_pb2.StepCall(action=slab))
            seen["steps"].append(
                {
                    "observation": decode(contract.observation_space, step.observation),
                    "reward": list(step.rewards),
                    "terminated": list(step.terminations),
                    "truncated": list(step.truncations),
                    "info": unpack(step.info) if step.info else {},
                }
            )
        call(close=session_pb2.CloseCall())
        if port is not None:
            port.close()
        requests.put(None)
    return seen


def main() -> None:
    folder, address, transport, actions = sys.argv[1:]
    with tempfile.TemporaryDirectory() as out:
        compile_protos(folder, out)
        seen = drive(address, transport, json.loads(actions))
        messages = sys.modules["rlmesh_api.v1.session_pb2"]
        if "rlmesh" in sys.modules or not str(messages.__file__).startswith(out):
            raise SystemExit("this is no client of its own")
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
