"""How both sides set up gRPC."""

from __future__ import annotations

from rlmesh.address import Address

# Larger than any sane frame, smaller than what would take a machine down.
MAX_MESSAGE_BYTES = 1 << 30

_MESSAGE_SIZES: list[tuple[str, int]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
]


def server_options() -> list[tuple[str, int]]:
    """Options of a server."""
    # Without this two servers may share one port, and each would get some of the clients.
    return [*_MESSAGE_SIZES, ("grpc.so_reuseport", 0)]


def channel_options(address: Address) -> list[tuple[str, int]]:
    """Options of a channel to an address."""
    return [
        *_MESSAGE_SIZES,
        # A server that is starting is tried again soon, not after gRPC's second.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 500),
        # Two clients of one process are two peers: they must not share a connection.
        ("grpc.use_local_subchannel_pool", 1),
        # A proxy for the outside world does not lead to this machine.
        ("grpc.enable_http_proxy", 0 if address.is_loopback else 1),
    ]
