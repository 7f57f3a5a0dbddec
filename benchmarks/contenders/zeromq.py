"""pyzmq REQ/REP with MessagePack."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from typing import Any

import zmq

from benchmarks.contenders.answering import driven_requests, respond
from benchmarks.contenders.codec import Frame, FramesPacker, unpack_frames
from benchmarks.contenders.driven import Driven
from benchmarks.peer import Announce, peer
from benchmarks.workloads import WORKLOADS, Workload


def tcp(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """Over TCP."""
    return _open(workload, "tcp://127.0.0.1:*")


@contextlib.contextmanager
def ipc(workload: Workload) -> Generator[Driven]:
    """Over a Unix socket."""
    with (
        tempfile.TemporaryDirectory(prefix="bench") as folder,
        _open(workload, f"ipc://{folder}/zmq") as driven,
    ):
        yield driven


@contextlib.contextmanager
def _open(workload: Workload, bind: str) -> Generator[Driven]:
    with (
        peer(serve, workload.key, bind) as address,
        zmq.Context() as context,
        context.socket(zmq.REQ) as socket,
    ):
        socket.linger = 0
        socket.connect(address)
        packer = FramesPacker()

        def call(request: Any) -> Any:
            _send(socket, packer.pack(request))
            return _receive(socket)

        yield driven_requests(call, workload)


def serve(announce: Announce, workload: str, bind: str) -> None:
    """The other process."""
    env = WORKLOADS[workload].make()
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        socket.bind(bind)
        announce(socket.last_endpoint.decode())
        packer = FramesPacker()
        while True:
            _send(socket, packer.pack(respond(env, _receive(socket))))


def _send(socket: zmq.Socket, frames: list[Any]) -> None:
    message, *arrays = frames
    if not arrays:
        socket.send(message)
        return
    # Each side sends again only after it was answered, so nobody writes on what still leaves.
    socket.send(message, zmq.SNDMORE)
    for array in arrays[:-1]:
        socket.send(array, zmq.SNDMORE, copy=False)
    socket.send(arrays[-1], copy=False)


def _receive(socket: zmq.Socket) -> Any:
    frames: list[Frame] = [socket.recv()]
    while socket.rcvmore:
        frames.append(socket.recv(copy=False).buffer)
    return unpack_frames(frames)
