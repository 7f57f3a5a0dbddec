"""A watched session as parts of a message, so that its images are copied once, by their `join`."""

from __future__ import annotations

from collections.abc import Iterable

from rlmesh.codec.step.wire import tag_of, varint_of
from rlmesh_api.v1 import env_service_pb2

_SESSION = tag_of(env_service_pb2.WatchResponse, "sessions")
_IMAGE = tag_of(env_service_pb2.WatchedSession, "images")
_RENDER = tag_of(env_service_pb2.WatchedSession, "render")
_PIXELS = tag_of(env_service_pb2.WatchedImage, "pixels")


def watched_parts(
    session: env_service_pb2.WatchedSession,
    images: Iterable[tuple[env_service_pb2.WatchedImage, bytes]] = (),
    frame: bytes = b"",
) -> list[bytes]:
    """The bytes of a session in a `WatchResponse`, as protobuf writes them.

    Args:
        session: The session, without its images and its frame.
        images: The images, each without its elements, and those.
        frame: What `render` returned; empty: nothing.
    """
    parts = [session.SerializeToString()]
    for image, pixels in images:
        head = image.SerializeToString() + _PIXELS + varint_of(len(pixels))
        parts += [_IMAGE + varint_of(len(head) + len(pixels)) + head, pixels]
    if frame:
        parts += [_RENDER + varint_of(len(frame)), frame]
    return [_SESSION + varint_of(sum(map(len, parts))), *parts]
