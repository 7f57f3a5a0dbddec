"""The service `grpc.health.v1.Health`, which answers strangers too."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

SERVICE_NAME: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
"""The name of the service."""

MAX_WATCHES = 64
"""How many watches there can be at once; a further one is refused."""

MAX_ANSWERS = 32
"""How many other health calls there can be at once; a further one ends the oldest."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def _list_response_type() -> type[Any]:
    """The message `HealthListResponse` of the protocol, which no release of the stubs has yet."""
    file = descriptor_pb2.FileDescriptorProto()
    health_pb2.DESCRIPTOR.CopyToProto(file)
    name = "HealthListResponse"
    if name not in health_pb2.DESCRIPTOR.message_types_by_name:
        field = descriptor_pb2.FieldDescriptorProto
        entry = descriptor_pb2.DescriptorProto(
            name="StatusesEntry",
            field=[
                field(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL),
                field(
                    name="value",
                    number=2,
                    type=field.TYPE_MESSAGE,
                    type_name=f".{file.package}.HealthCheckResponse",
                    label=field.LABEL_OPTIONAL,
                ),
            ],
            options=descriptor_pb2.MessageOptions(map_entry=True),
        )
        statuses = field(
            name="statuses",
            number=1,
            type=field.TYPE_MESSAGE,
            type_name=f".{file.package}.{name}.{entry.name}",
            label=field.LABEL_REPEATED,
        )
        file.message_type.add(name=name, field=[statuses], nested_type=[entry])
    # Its own pool: a program may have the newer file in the pool that all share.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))


_ListResponse = _list_response_type()


class Health(grpc.GenericRpcHandler):
    """Says whether the server serves, or the part of it that a name stands for.

    A caller needs no token, so the most that it can do is to keep its own call busy. No lock is
    held while an answer is sent: a caller that does not read holds the thread of its call, and
    nothing else. For gRPC every method is a stream: gRPC then calls the method before a message
    has arrived, so calls without a message are counted as well, and keeps no message.

    gRPC calls `check`, `watch` and `list` on one thread for each call; `_forget` and `_leave` on
    its own thread, which must not wait. `_changed` guards every field that changes.

    Args:
        names: The names that the service knows; the empty one stands for the whole server.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._changed = threading.Condition()
        self._statuses: dict[str, int] = dict.fromkeys(names, _NOT_SERVING)
        self._ended = False
        self._watches: set[grpc.ServicerContext] = set()
        # The oldest is the first.
        self._answers: OrderedDict[grpc.ServicerContext, None] = OrderedDict()
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            f"/{SERVICE_NAME}/{name}": grpc.stream_stream_rpc_method_handler(method)
            for name, method in (("Check", self.check), ("List", self.list), ("Watch", self.watch))
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """What handles a call; None if it is none of the service's."""
        return self._handlers.get(handler_call_details.method)

    def set(self, *, serving: bool, names: Collection[str] | None = None) -> None:
        """Changes the status of some names, or of all. Any thread may; it waits for no caller."""
        status = _SERVING if serving else _NOT_SERVING
        with self._changed:
            self._statuses.update(dict.fromkeys(self._statuses if names is None else names, status))
            self._changed.notify_all()

    def end(self) -> None:
        """Ends every watch once it has sent the last status. Any thread may; it waits for none."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def check(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Answers with the status of one name."""
        self._begin_answer(context)
        name = self._name(requests, context)
        status = self._statuses.get(name)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "this server has no service of that name")
        yield _response(status).SerializeToString()

    def list(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Answers with the status of every name."""
        self._begin_answer(context)
        if next(requests, None) is not None:
            with self._changed:
                statuses = dict(self._statuses)
            yield _list_response(statuses)

    def watch(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Sends the status of one name, and again whenever it changes, until the server ends."""
        self._begin_answer(context)
        name = self._name(requests, context)
        self._forget(context)
        self._begin_watch(context)
        sent = None
        while (status := self._next_status(context, sent, name)) is not None:
            yield _response(status).SerializeToString()
            sent = status

    def _begin_answer(self, context: grpc.ServicerContext) -> None:
        """Counts a call. One too many ends the oldest, which never is one that does as it should.

        A call that has its message is answered at once; one that lasts waits for its caller.
        """
        with self._changed:
            self._answers[context] = None
            surplus = len(self._answers) > MAX_ANSWERS
            oldest = self._answers.popitem(last=False)[0] if surplus else None
        if oldest is not None:
            oldest.cancel()
        _at_end(context, lambda: self._forget(context))

    def _forget(self, context: grpc.ServicerContext) -> None:
        with self._changed:
            self._answers.pop(context, None)

    def _begin_watch(self, context: grpc.ServicerContext) -> None:
        with self._changed:
            full = len(self._watches) >= MAX_WATCHES
            if not full:
                self._watches.add(context)
        if full:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"this server answers {MAX_WATCHES} watches at once; use Check",
            )
        _at_end(context, lambda: self._leave(context))

    def _leave(self, context: grpc.ServicerContext) -> None:
        with self._changed:
            self._watches.discard(context)
            self._changed.notify_all()

    def _next_status(
        self, context: grpc.ServicerContext, sent: int | None, name: str
    ) -> int | None:
        """Waits for a status that was not sent yet; None: there is none, or the caller has left."""
        with self._changed:
            while context in self._watches:
                status = self._statuses.get(name, _SERVICE_UNKNOWN)
                if status != sent:
                    return status
                if self._ended:
                    return None
                self._changed.wait()
            return None

    def _name(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> str:
        """The name that a caller asks for."""
        message = next(requests, None)
        if message is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a health call has one message")
        try:
            name: str = health_pb2.HealthCheckRequest.FromString(message).service
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this is no HealthCheckRequest")
        return name


def _list_response(statuses: dict[str, int]) -> bytes:
    message = _ListResponse()
    for name, status in statuses.items():
        message.statuses[name].status = status
    told: bytes = message.SerializeToString()
    return told


def _response(status: int) -> health_pb2.HealthCheckResponse:
    return health_pb2.HealthCheckResponse(status=status)


def _at_end(context: grpc.ServicerContext, act: Callable[[], None]) -> None:
    """Has something done when a call has ended."""
    if not context.add_callback(act):
        act()
