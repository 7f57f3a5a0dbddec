"""How both sides set up gRPC."""

from __future__ import annotations

from rlmesh.address import Address
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.grpc.pieces import PIECE_BYTES

# The calls of one connection at once. A client has one connection of its own, and a further call
# waits in it.
MAX_STREAMS = 100

# After how many seconds without data a side sends a ping.
PING_SECONDS = 10.0
# For how many seconds a server waits for a client's answer to a ping, and a client for a server's.
# Only a machine or a network that is gone must miss them: not a policy that computes for half a
# minute on the thread that answers pings, and not a process that is stopped for as long. The client
# has longer, as it is the side that is stopped in a debugger. A server notices a machine that has
# vanished within two minutes then, and a client within one.
CLIENT_PONG_SECONDS = 110.0
SERVER_PONG_SECONDS = 50.0
# How many seconds a client must leave between two pings; gRPC ends the connection of one that does
# not.
LEAST_PING_SECONDS = 5.0


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
        *_pings(CLIENT_PONG_SECONDS),
        (
            "grpc.http2.min_ping_interval_without_data_ms",
            int(min(LEAST_PING_SECONDS, PING_SECONDS / 2) * 1000),
        ),
    ]


def channel_options(address: Address) -> list[tuple[str, int]]:
    """Options of a channel to an address."""
    return [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        *_pings(SERVER_PONG_SECONDS),
        # A server that is starting is tried again soon, not after gRPC's second.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 500),
        # Two clients of one process are two peers: they must not share a connection.
        ("grpc.use_local_subchannel_pool", 1),
        # A proxy for the outside world does not lead to this machine.
        ("grpc.enable_http_proxy", 0 if address.is_loopback else 1),
    ]


def _pings(pong_seconds: float) -> list[tuple[str, int]]:
    """Options that notice a connection over which nothing comes any more, though nobody ended it.

    They ask in the middle of a call as well, in which an environment may take as long as it likes.
    """
    return [
        ("grpc.keepalive_time_ms", int(PING_SECONDS * 1000)),
        ("grpc.keepalive_timeout_ms", int(pong_seconds * 1000)),
        # gRPC asks in the middle of data as well, and asks only once at a time.
        ("grpc.http2.ping_timeout_ms", int(pong_seconds * 1000)),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
    ]
