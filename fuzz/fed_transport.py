"""A transport on which every answer is what the fuzzer says."""

from __future__ import annotations

from rlmesh.client.endpoint_calls import EndpointCalls
from rlmesh.codec.step.wire import sequence_of, write_sequence
from rlmesh.transports.pipe import Received
from rlmesh.transports.transport import Transport, Wait


class FedTransport:
    """See `Transport`.

    Attributes:
        answer: What every call is answered.
    """

    name = "grpc"

    def __init__(self) -> None:
        self.answer = b""

    def exchange(self, message: bytes, sequence: int, wait: Wait) -> Received:
        """The answer, with the number of the call wherever it has one."""
        return self.take(sequence, wait)

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends nothing."""

    def take(self, sequence: int, wait: Wait) -> Received:
        """As `exchange`."""
        answer = bytearray(self.answer)
        if sequence_of(self.answer) is not None:
            write_sequence(answer, 0, sequence)
        return memoryview(answer), 0, len(answer)

    def close(self) -> None:
        """Nothing is open."""

    def leave_to_parent(self) -> None:
        """Nothing is open."""


def put(calls: EndpointCalls, transport: Transport | None) -> None:
    """Has a client call by a transport, as if none of its calls had failed."""
    calls._transport, calls._behind = transport, False
    calls._reconnect.transport, calls._reconnect.lost = transport, None
