"""How both sides set up gRPC."""

from __future__ import annotations

from rlmesh.address import Address
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.grpc.pieces import PIECE_BYTES

# The calls of one connection at once. A client has one connection of its own, and a further call
# waits in it.
MAX_STREAMS = 100

# How long a connection is quiet before a side asks whether the other is still there, and how long
# that may take. Long enough to cost nothing, short enough to notice a network that swallows all.
PING_SECONDS = 10.0
PONG_SECONDS = 5.0


def server_options() -> list[tuple[str, int]]:
    """Options of a server."""
    return [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A larger request comes in pieces. gRPC refuses a larger message before it has received it,
        # and a compressed one before it is larger.
        ("grpc.max_receive_message_length", PIECE_BYTES),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        # Without this two servers may share one port, and each would get some of the clients.
        ("grpc.so_reuseport", 0),
        *_pings(),
        # gRPC ends the connections of clients that ask more often.
        ("grpc.http2.min_ping_interval_without_data_ms", int(PING_SECONDS * 500)),
    ]


def channel_options(address: Address) -> list[tuple[str, int]]:
    """Options of a channel to an address."""
    return [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        *_pings(),
        # A server that is starting is tried again soon, not after gRPC's second.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 500),
        # Two clients of one process are two peers: they must not share a connection.
        ("grpc.use_local_subchannel_pool", 1),
        # A proxy for the outside world does not lead to this machine.
        ("grpc.enable_http_proxy", 0 if address.is_loopback else 1),
    ]


def _pings() -> list[tuple[str, int]]:
    """Options that notice a connection over which nothing comes any more, though nobody ended it.

    They ask in the middle of a call as well, in which an environment may take as long as it likes.
    """
    return [
        ("grpc.keepalive_time_ms", int(PING_SECONDS * 1000)),
        ("grpc.keepalive_timeout_ms", int(PONG_SECONDS * 1000)),
        # gRPC asks in the middle of data as well, and asks only once at a time.
        ("grpc.http2.ping_timeout_ms", int(PONG_SECONDS * 1000)),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
    ]
