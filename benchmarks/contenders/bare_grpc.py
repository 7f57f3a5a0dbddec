"""Plain grpcio between two processes: the environment is stepped, and the same bytes move.

The observation's bytes are put into the message, as a plain program would; as many as the rest
takes follow. Nothing is checked or decoded: what RLMesh's gRPC transport costs beside this is its
own.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Generator, Iterator
from concurrent import futures
from typing import Any

import grpc

from benchmarks.contenders.driven import Driven
from benchmarks.contenders.sizes import REQUEST_BYTES
from benchmarks.guards import is_dict
from benchmarks.peer import Announce, peer
from benchmarks.workloads import WORKLOADS, Workload

_STEP, _RESET = b"s" * REQUEST_BYTES, b"r" * REQUEST_BYTES
_GOES_ON, _ENDED = b"\0", b"\1"
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Call = Callable[[bytes], bytes]


@contextlib.contextmanager
def unary(workload: Workload) -> Generator[Driven]:
    """A call for each step."""
    with _channel(workload, "unary") as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/bare/unary")
        yield _driven(method)


@contextlib.contextmanager
def stream(workload: Workload) -> Generator[Driven]:
    """One stream for all steps."""
    outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with _channel(workload, "stream") as channel:
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream("/bare/stream")
        answers = method(iter(outbox.get, None))

        def call(request: bytes) -> bytes:
            outbox.put(request)
            return next(answers)

        try:
            yield _driven(call)
        finally:
            outbox.put(None)


@contextlib.contextmanager
def _channel(workload: Workload, method: str) -> Generator[grpc.Channel]:
    with (
        peer(serve, workload.key, method) as target,
        grpc.insecure_channel(target, _UNLIMITED) as channel,
    ):
        yield channel


def _driven(call: Call) -> Driven:
    return Driven(lambda: call(_STEP)[:1] == _ENDED, lambda: call(_RESET))


def serve(announce: Announce, workload: str, method: str) -> None:
    """The other process."""
    answer = _answering(WORKLOADS[workload])

    def unary_method(request: bytes, context: grpc.ServicerContext) -> bytes:
        return answer(request)

    def stream_method(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        return map(answer, requests)

    handler: grpc.RpcMethodHandler[bytes, bytes] = (
        grpc.unary_unary_rpc_method_handler(unary_method)
        if method == "unary"
        else grpc.stream_stream_rpc_method_handler(stream_method)
    )
    server = grpc.server(futures.ThreadPoolExecutor(4), options=_UNLIMITED)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bare", {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    announce(f"127.0.0.1:{port}")
    server.wait_for_termination()


def _answering(workload: Workload) -> Call:
    env: Any = workload.make()
    action = workload.actions()[0]
    observed = sum(map(len, map(bytes, _parts(env.reset()[0]))))
    rest = b"x" * max(0, workload.answer_bytes() - 1 - observed)

    def answer(request: bytes) -> bytes:
        # The first byte says whether an episode ended; of a vector, the caller does not need it.
        if request == _RESET:
            observation, flag = env.reset()[0], _GOES_ON
        else:
            observation, _, terminated, truncated, _ = env.step(action)
            flag = _ENDED if not workload.num_envs and (terminated or truncated) else _GOES_ON
        return b"".join((flag, *_parts(observation), rest))

    return answer


def _parts(observation: Any) -> Iterator[Any]:
    """What holds the bytes of an observation: arrays, and texts as bytes."""
    if is_dict(observation):
        for part in observation.values():
            yield from _parts(part)
    elif isinstance(observation, str):
        yield observation.encode()
    else:
        yield observation
