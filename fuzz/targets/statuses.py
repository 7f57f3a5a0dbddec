"""What a server says that it is doing, as the command line shows it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator, Iterable

from google.protobuf.message import DecodeError
from rich.console import Console

from fuzz.messages import message_mutator
from fuzz.target import Feed, Target
from rlmesh._cli.status_table import status_view
from rlmesh.client.status import EndpointStatus
from rlmesh_api.v1 import env_service_pb2, session_pb2


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    def feed(data: bytes) -> None:
        try:
            response = env_service_pb2.GetStatusResponse.FromString(data)
        except DecodeError:
            return
        status = EndpointStatus.from_proto(response)
        Console(file=io.StringIO(), width=100).print(status_view(status, "tcp://127.0.0.1:1"))

    yield feed


def _seeds() -> Iterable[bytes]:
    peer = session_pb2.Peer(name="train.py", pid=4711, host="h", version="0.1.0")
    holder = session_pb2.Holder(peer=peer, seconds=1.5, lost_seconds=0.5)
    session = env_service_pb2.SessionStatus(
        session_id="a",
        holder=holder,
        transport="shm",
        call="step",
        sequence=7,
        busy_seconds=0.5,
        stack="  File",
        calls=7,
        deviations=[env_service_pb2.ConformanceCount(kind="bounds", count=2)],
    )
    yield env_service_pb2.GetStatusResponse(
        state=env_service_pb2.SERVER_STATE_BUSY,
        call="step",
        sequence=7,
        busy_seconds=0.5,
        stack="  File",
        holder=holder,
        sessions=[session, session],
        capacity=2,
        server=peer,
        protocol_generation=1,
        serving_seconds=3.5,
    ).SerializeToString()
    yield env_service_pb2.GetStatusResponse(
        state=env_service_pb2.SERVER_STATE_READY
    ).SerializeToString()


STATUSES = Target(
    "statuses",
    "what a server says that it is doing",
    _opened,
    _seeds,
    message_mutator(env_service_pb2.GetStatusResponse),
    short_runs=1000,
)
