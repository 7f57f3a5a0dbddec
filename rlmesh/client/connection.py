"""One connection of a session: its gRPC channel, its stream, and a transport beside that."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator, Iterable

import grpc
from google.protobuf.message import DecodeError

from rlmesh.client.channel import ChannelFactory
from rlmesh.client.kinds import STATUS, Kind, Question, RequestType, ResponseType, other_kind
from rlmesh.client.status import EndpointStatus
from rlmesh.client.transport_selection import enter
from rlmesh.errors import CallTimeoutError, EndpointError, EndpointUnreachableError, ProtocolError
from rlmesh.transports.failures import error_from_failure, error_from_rpc
from rlmesh.transports.grpc.transport import GrpcTransport
from rlmesh.transports.pipe import Received
from rlmesh.transports.pipe_transport import PipeTransport
from rlmesh.transports.system_resources import system_resources
from rlmesh.transports.transport import Transport, Wait, exchange, late
from rlmesh_api.v1 import session_pb2

# How long a server may take to report what it is doing, when a call has failed already.
_STATUS_SECONDS = 0.5
MAX_SMALL_ANSWER_BYTES = 1 << 20
"""The bytes of the answer to a call that begins or ends a session; it holds names and addresses."""

_SMALL_ANSWERS = ("open", "resume", "close")


class Connection:
    """One connection to an endpoint.

    The first call of a session (open or resume) crosses the stream. Then the client connects to one
    of the listeners that the answer lists, and later calls cross that transport.

    Args:
        channels: Makes channels to the endpoint.
        service: The full name of the endpoint's service.
        address: Its address, for messages.

    Raises:
        SystemResourceError: If too few descriptors are free.
    """

    def __init__(self, channels: ChannelFactory, service: str, address: str) -> None:
        self._channels = channels
        self._service = service
        self._address = address
        # Wakes a wait on the transport `direct` when the stream has ended: its peer is gone then,
        # though the TCP connection may stay silent.
        with system_resources(f"connect to {address}"):
            self._ended, self._end = socket.socketpair()
        try:
            self._end.setblocking(False)
            self._channel = channels.channel()
        except BaseException:
            self._ended.close()
            self._end.close()
            raise
        self._stream: GrpcTransport | None = None
        self._transport: Transport | None = None

    def contract(
        self, question: Question[RequestType, ResponseType], kind: Kind, timeout: float | None
    ) -> ResponseType:
        """The answer of an endpoint of a kind to the question for its contract.

        A server that is not up yet is tried again until the timeout.

        Raises:
            EndpointUnreachableError: If no server answers in time.
            WrongEndpointKindError: If the endpoint is of another kind.
            RlmeshError: As `CallClient` says.
        """
        try:
            return question.ask(
                self._channels, self._channel, kind.service, timeout, wait_for_ready=True
            )
        except grpc.RpcError as error:
            other = other_kind(error, kind, self._channels, self._channel, self._address)
            if other is not None:
                raise other from error
            failure = error_from_rpc(error, self._address, doing="connecting", timeout=timeout)
            if isinstance(failure, CallTimeoutError):
                raise EndpointUnreachableError(
                    f"no server answers at {self._address} within {timeout} s; is the server "
                    f"running, and is that its address?"
                ) from error
            raise failure from error

    def status(self) -> EndpointStatus | None:
        """What the server is doing; None where it does not answer within half a second."""
        # A channel that another thread has closed says so with a ValueError.
        with contextlib.suppress(grpc.RpcError, ValueError):
            ask = STATUS.call(self._channel, self._service)
            return EndpointStatus.from_proto(ask(STATUS.request, timeout=_STATUS_SECONDS))
        return None

    def begin(
        self, request: session_pb2.SessionRequest, timeout: float | None
    ) -> session_pb2.SessionResponse:
        """Opens the stream with its first call, and returns the answer.

        Raises:
            CallTimeoutError: If the answer does not come in time.
            RlmeshError: As `Transport.take` and `read_answer` say.
        """
        stream = GrpcTransport(self._channel, self._service, self._address)
        self._transport = self._stream = stream
        end = self._end
        stream.call_at_end(lambda: _ring(end))
        call = request.WhichOneof("call") or "no call"
        with _expiring(stream, timeout):
            # The stream itself has no deadline, which would cost every later call a thread.
            received = exchange(
                stream, request.SerializeToString(), request.sequence, Wait(call, timeout=timeout)
            )
        if stream.expired:
            # The answer came at the deadline, and there is no stream for later calls.
            raise late(Wait(call, timeout=timeout), self._address)
        return read_answer(received, call, request.sequence, self._address)

    def take_transport(
        self,
        offers: Iterable[session_pb2.TransportOffer],
        secret: bytes,
        *,
        wanted: str | None,
        head: int,
        report_seconds: float,
        deadline: float,
        silent_seconds: float | None,
    ) -> Transport:
        """Takes the first transport on offer that is wanted and reachable, else the stream.

        Args:
            offers: The transports on offer, the best first.
            secret: The session's secret.
            wanted: The transport to use; None: any.
            head: How many bytes of most answers stand before their slab.
            report_seconds: How long a transport that has ended waits for the stream to say why.
            deadline: Until when one is looked for, on the monotonic clock.
            silent_seconds: After how long without a word from the server's machine the transport
                `direct` ends. None: when the stream notices it, which takes a minute.
        """
        stream = self._stream
        if stream is None:
            raise ValueError("a transport is chosen after the stream has begun")
        found = enter(
            offers,
            secret,
            wanted=wanted,
            channels=self._channels,
            head=head,
            deadline=deadline,
            silent_seconds=silent_seconds,
        )
        if found is None:
            return stream
        name, pipe = found
        if name == "direct":
            # A Unix socket ends with its peer; a TCP connection may stay silent for ever.
            pipe.watch(self._ended.fileno())
        self._transport = PipeTransport(name, pipe, stream, self._address, report_seconds)
        return self._transport

    def ask(self, message: bytes, sequence: int, wait: Wait) -> None:
        """Makes a call on the stream, whatever the transport, and waits for its answer."""
        if self._stream is not None:
            exchange(self._stream, message, sequence, wait)

    def end(self) -> EndpointError | None:
        """Why the stream has ended; None if it has not."""
        return None if self._stream is None else self._stream.end(0.0)

    def close(self) -> None:
        """Ends the connection; the server notices at once. Any thread may call it, repeatedly."""
        for transport in (self._stream, self._transport):
            if transport is not None:
                transport.close()
        self._channel.close()
        self._end.close()
        self._ended.close()

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's connection, which goes on."""
        for transport in (self._transport, self._stream):
            if transport is not None:
                transport.leave_to_parent()
        self._end.close()
        self._ended.close()


def _ring(end: socket.socket) -> None:
    # It is closed already where the stream ends because `close` was called.
    with contextlib.suppress(OSError):
        end.send(b"\0")


def read_answer(
    received: Received, call: str, sequence: int, address: str
) -> session_pb2.SessionResponse:
    """Reads the answer to a call.

    Raises:
        ProtocolError: If it cannot be read, or is the answer to another call.
        RlmeshError: The failure that the answer reports.
    """
    buffer, start, end = received
    if call in _SMALL_ANSWERS and end - start > MAX_SMALL_ANSWER_BYTES:
        raise ProtocolError(
            f"{address} answered {call} with {end - start} bytes; at most {MAX_SMALL_ANSWER_BYTES} "
            f"are allowed"
        )
    try:
        response = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
    except DecodeError as error:
        raise ProtocolError(f"{address} sent a damaged message: {error}") from error
    answer = response.WhichOneof("answer")
    # A failure with the sequence 0 belongs to no call: the session has failed.
    if response.sequence != sequence and (response.sequence or answer != "failure"):
        raise ProtocolError(f"{address} answered call {response.sequence} to call {sequence}")
    if answer == "failure":
        raise error_from_failure(response.failure, address)
    if answer != call:
        raise ProtocolError(f"{address} answered {answer or 'nothing'} to {call}")
    return response


@contextlib.contextmanager
def _expiring(stream: GrpcTransport, seconds: float | None) -> Generator[None]:
    """Ends the stream unless the block ends in time."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, stream.expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        # It may be ending the stream just now.
        timer.join()
