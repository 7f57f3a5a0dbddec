"""The two sides of a session as no client or server of RLMesh behaves."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from rlmesh.address import parse_address
from rlmesh.contract import read_contract
from rlmesh.transports.listener import (
    SECRET_BYTES,
    enter_direct,
    enter_memory,
    open_direct_listener,
    open_shm_listener,
)
from rlmesh.transports.pipe import Pipe
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh_api.v1 import contract_pb2, env_service_pb2, env_service_pb2_grpc, session_pb2

SECONDS = 20.0
SECRET = b"s" * SECRET_BYTES


class RawSession:
    """A session whose calls the test makes by hand, on the stream or on another transport.

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

    def offer(self, transport: str) -> str:
        """Where a transport is to be had."""
        transports = [*self.answer.open.transports, *self.answer.resume.transports]
        (address,) = (offer.address for offer in transports if offer.transport == transport)
        return str(address)

    def enter(self, transport: str, secret: bytes | None = None) -> Pipe | None:
        """Goes through a listener with this session's secret, or with another one."""
        shown = self.secret if secret is None else secret
        address = self.offer(transport)
        if transport == "shm":
            return enter_memory(address, shown)
        host, _, port = address.rpartition(":")
        return enter_direct(host, int(port), shown)

    def pipe(self, transport: str) -> Pipe:
        """A pipe on a transport of this session."""
        pipe = self.enter(transport)
        assert pipe is not None, f"the listener of {transport} did not open"
        return pipe

    @property
    def is_active(self) -> bool:
        """Whether the server has not ended the session."""
        active: bool = self._answers.is_active()
        return active

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
    """Tells a contract and opens sessions whose transports are elsewhere."""

    def __init__(self, contract: env_service_pb2.GetContractResponse) -> None:
        self.opened = session_pb2.OpenResult(session_id="s", protocol_generation=1, secret=SECRET)
        self._contract = contract

    def GetContract(self, request: Any, context: Any) -> env_service_pb2.GetContractResponse:  # noqa: N802 - gRPC's name
        return self._contract

    def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        raise NotImplementedError

    def Watch(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
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
def serving_contract(contract: contract_pb2.EnvContract) -> Generator[str]:
    """A server that sends this contract, whatever it says, and opens sessions without an end."""
    sent = env_service_pb2.GetContractResponse(contract=contract, protocol_generation=1)
    pool = ThreadPoolExecutor(4)
    server = grpc.server(pool)
    env_service_pb2_grpc.add_EnvServiceServicer_to_server(_Service(sent), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        pool.shutdown()


class Attached:
    """A session at which listeners attach pipes, without a server; see `PipeOwner`.

    Args:
        behave: Called with each pipe, its transport and the client's process id.
        secret: The secret that belongs to the session.
    """

    def __init__(self, behave: Callable[[Pipe, str, int], None], secret: bytes = SECRET) -> None:
        self._behave = behave
        self._secret = secret

    def authenticate(self, secret: bytes) -> Attached | None:
        """This session, for its secret."""
        return self if secret == self._secret else None

    def attach(self, pipe: Pipe, transport: str, process: int) -> None:
        """Passes a pipe on."""
        self._behave(pipe, transport, process)


@contextlib.contextmanager
def strange_server(
    env: Any,
    transport: str,
    behave: Callable[[Pipe], None],
    plan: SegmentLayout,
    generation: int = 1,
) -> Generator[str]:
    """A server that opens sessions as it should, and does on its transport what the test says.

    Args:
        env: What its contract tells of.
        transport: The transport on offer, `shm` or `direct`.
        behave: Given the server's end of a transport, on a thread of its own.
        plan: How segments of shared memory are divided.
        generation: The protocol generation that it says its sessions use.
    """
    pipes: list[Pipe] = []
    threads: list[threading.Thread] = []

    def start(pipe: Pipe, transport: str, process: int) -> None:
        pipes.append(pipe)
        thread = threading.Thread(target=behave, args=(pipe,))
        threads.append(thread)
        thread.start()

    session = Attached(start)
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
        stack.callback(pool.shutdown)
        stack.callback(lambda: server.stop(None).wait())
        if transport == "shm":
            offered, listener = open_shm_listener(plan, session.authenticate)
        else:
            bound = socket.create_server(("127.0.0.1", 0))
            offered = f"127.0.0.1:{bound.getsockname()[1]}"
            listener = open_direct_listener(bound, session.authenticate)
        stack.callback(listener.close)
        service.opened.transports.add(transport=transport, address=offered)
        server.start()
        try:
            yield f"127.0.0.1:{address}"
        finally:
            for pipe in pipes:
                pipe.close()
            for thread in threads:
                thread.join(SECONDS)
            for pipe in pipes:
                pipe.release()
