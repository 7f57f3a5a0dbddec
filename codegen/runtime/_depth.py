"""How deep messages stand in each other.

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

from google.protobuf.message import Message

from rlmesh_api._problems import Problem

__all__ = ["check_depth"]

# A reader of protobuf refuses a message with more than 100 nested ones, and a contract travels
# inside of another message.
_DEEPEST_MESSAGE = 99


def check_depth(message: Message) -> None:
    """Raise a problem if a reader of protobuf would refuse the message."""
    depth = _message_depth(message)
    if depth > _DEEPEST_MESSAGE:
        raise Problem(f"at most {_DEEPEST_MESSAGE} nested messages", str(depth))


def _message_depth(message: Message) -> int:
    """How many messages stand in each other, this one included."""
    if all(field.message_type is None for field in message.DESCRIPTOR.fields):
        return 1
    deepest = 0
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in (value,) if isinstance(value, Message) else value:
                deepest = max(deepest, _message_depth(child))
    return deepest + 1
