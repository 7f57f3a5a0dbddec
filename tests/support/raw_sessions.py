"""The two sides of a session as no client or server of RLMesh behaves."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from rlmesh.address import parse_address
from rlmesh.contract import read_contract
from rlmesh.lanes.door import (
    SECRET_BYTES,
    Attach,
    MakePort,
    enter_direct,
    enter_memory,
    open_direct_door,
    open_memory_door,
)
from rlmesh.lanes.memory_port import Plan
from rlmesh.lanes.port import Port
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc, session_pb2

SECONDS = 20.0
SECRET = b"s" * SECRET_BYTES


class RawSession:
    """A session whose calls the test makes by hand, on the stream or on another lane.

    Args:
        channel: The connection.
        resume: The secret of a session to go on with; None: a new one.
        **call: More of the call that opens it.

    Attributes:
        answer: What the server said first.
        secret: The session's secret.
    """

    def __init__(self, channel: grpc.Channel, resume: bytes | None = None, **call: Any) -> None:
        self._requests: queue.SimpleQueue[session_pb2.SessionRequest | None] = queue.SimpleQueue()
        stub = env_service_pb2_grpc.EnvServiceStub(channel)
        self._answers: Any = stub.Session(iter(self._requests.get, None))
        if resume is None:
            opening = session_pb2.OpenCall(protocol_generation=1, **call)
            request = session_pb2.SessionRequest(sequence=1, open=opening)
        else:
            resuming = session_pb2.ResumeCall(secret=resume, protocol_generation=1, **call)
            request = session_pb2.SessionRequest(resume=resuming)
        self._requests.put(request)
        self.answer: session_pb2.SessionResponse = next(self._answers)
        self.secret = self.opened.secret if resume is None else resume

    @property
    def opened(self) -> session_pb2.OpenResult:
        """What the server said when the session began."""
        return self.answer.open

    def send(self, sequence: int, **call: Any) -> None:
        """Makes a call on the stream."""
        self._requests.put(session_pb2.SessionRequest(sequence=sequence, **call))

    def receive(self) -> session_pb2.SessionResponse:
        """The next answer on the stream."""
        answer: session_pb2.SessionResponse = next(self._answers)
        return answer

    def call(self, sequence: int, **call: Any) -> session_pb2.SessionResponse:
        """A call on the stream, and its answer."""
        self.send(sequence, **call)
        return self.receive()

    def offer(self, lane: str) -> str:
        """Where a lane is to be had."""
        lanes = [*self.answer.open.lanes, *self.answer.resume.lanes]
        (address,) = (offer.address for offer in lanes if offer.lane == lane)
        return str(address)

    def enter(self, lane: str, secret: bytes | None = None) -> Port | None:
        """Goes through a door with this session's secret, or with another one."""
        shown = self.secret if secret is None else secret
        address = self.offer(lane)
        if lane == "shm":
            return enter_memory(address, shown)
        host, _, port = address.rpartition(":")
        return enter_direct(host, int(port), shown)

    def port(self, lane: str) -> Port:
        """A port on a lane of this session."""
        port = self.enter(lane)
        assert port is not None, f"the door of {lane} did not open"
        return port

    def wait_until_ended(self) -> None:
        """Returns when the server has ended the session."""
        ended = threading.Event()
        if self._answers.add_callback(ended.set):
            assert ended.wait(SECONDS), "the session lives on"

    def close(self) -> None:
        """Ends the stream, as a client that is killed does."""
        self._requests.put(None)
        self._answers.cancel()


@contextlib.contextmanager
def raw_session(address: str, resume: bytes | None = None, **call: Any) -> Generator[RawSession]:
    """A session with the server at that address, made by hand; arguments as of `RawSession`."""
    # Two of one process are two peers: they must not share a connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(parse_address(address).dial_target, options) as channel:
        session = RawSession(channel, resume, **call)
        try:
            yield session
        finally:
            session.close()


class _Service(env_service_pb2_grpc.EnvServiceServicer):
    """Tells a contract and opens sessions whose lanes are elsewhere."""

    def __init__(self, contract: env_service_pb2.GetContractResponse) -> None:
        self.opened = session_pb2.OpenResult(session_id="s", protocol_generation=1, secret=SECRET)
        self._contract = contract

    def GetContract(self, request: Any, context: Any) -> env_service_pb2.GetContractResponse:  # noqa: N802 - gRPC's name
        return self._contract

    def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        raise NotImplementedError

    def Shutdown(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        raise NotImplementedError

    def Session(  # noqa: N802 - gRPC's name
        self, request_iterator: Iterator[session_pb2.SessionRequest], context: Any
    ) -> Iterator[session_pb2.SessionResponse]:
        for request in request_iterator:
            if request.WhichOneof("call") == "open":
                yield session_pb2.SessionResponse(sequence=request.sequence, open=self.opened)
            else:
                closed = session_pb2.CloseResult()
                yield session_pb2.SessionResponse(sequence=request.sequence, close=closed)


@contextlib.contextmanager
def strange_server(
    env: Any, lane: str, behave: Callable[[Port], None], plan: Plan, generation: int = 1
) -> Generator[str]:
    """A server that opens sessions as it should, and does on its lane what the test says.

    Args:
        env: What its contract tells of.
        lane: The lane on offer, `shm` or `direct`.
        behave: Given the server's end of a lane, on a thread of its own.
        plan: How segments of shared memory are divided.
        generation: The protocol generation that it says its sessions use.
    """
    # Never readable: nobody calls this server for anything else.
    quiet = os.eventfd(0, os.EFD_CLOEXEC)
    ports: list[Port] = []
    threads: list[threading.Thread] = []

    def attach(make_port: MakePort, lane: str, process: int) -> None:
        port = make_port(quiet)
        ports.append(port)
        thread = threading.Thread(target=behave, args=(port,))
        threads.append(thread)
        thread.start()

    def admit(secret: bytes) -> Attach | None:
        return attach if secret == SECRET else None

    contract = env_service_pb2.GetContractResponse(
        contract=read_contract(env).to_proto(), protocol_generation=1
    )
    service = _Service(contract)
    service.opened.protocol_generation = generation
    pool = ThreadPoolExecutor(4)
    server = grpc.server(pool)
    env_service_pb2_grpc.add_EnvServiceServicer_to_server(service, server)
    address = server.add_insecure_port("127.0.0.1:0")
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, quiet)
        stack.callback(pool.shutdown)
        stack.callback(lambda: server.stop(None).wait())
        if lane == "shm":
            offered, door = open_memory_door(plan, admit)
        else:
            listener = socket.create_server(("127.0.0.1", 0))
            offered = f"127.0.0.1:{listener.getsockname()[1]}"
            door = open_direct_door(listener, admit)
        stack.callback(door.close)
        service.opened.lanes.add(lane=lane, address=offered)
        server.start()
        try:
            yield f"127.0.0.1:{address}"
        finally:
            for port in ports:
                port.close()
            for thread in threads:
                thread.join(SECONDS)
            for port in ports:
                port.release()
