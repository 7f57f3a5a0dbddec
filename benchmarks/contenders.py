"""What is measured: ways to have one step made, each a context that gives a step function."""

from __future__ import annotations

import contextlib
import itertools
import queue
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent import futures
from typing import Any

import grpc
import gymnasium as gym

import rlmesh
from benchmarks.workloads import WORKLOADS

Step = Callable[[], None]

# What a step's messages take beside the observation: numbers, flags and their tags.
_REQUEST, _OVERHEAD = b"x" * 20, 30


@contextlib.contextmanager
def in_process(workload: str) -> Generator[Step]:
    """The environment itself."""
    yield _stepper(WORKLOADS[workload]())


@contextlib.contextmanager
def remote(workload: str, lane: str) -> Generator[Step]:
    """RLMesh, to a server in another process."""
    with (
        _process("serve", workload) as address,
        rlmesh.RemoteEnv[Any, Any](address, lane=lane) as env,
    ):
        yield _stepper(env)


@contextlib.contextmanager
def bare(workload: str, method: str) -> Generator[Step]:
    """Plain grpcio between two processes, moving as many bytes and doing nothing with them."""
    with (
        _process("bare", workload, method) as target,
        grpc.insecure_channel(target, [("grpc.max_receive_message_length", -1)]) as channel,
    ):
        if method == "unary":
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/bare/unary")
            yield lambda: _discard(call(_REQUEST))
            return
        outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        stream: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream("/bare/stream")
        answers = stream(iter(outbox.get, None))

        def step() -> None:
            outbox.put(_REQUEST)
            next(answers)

        yield step
        outbox.put(None)


CONTENDERS: dict[str, Callable[[str], contextlib.AbstractContextManager[Step]]] = {
    "in-process": in_process,
    "RLMesh, shm": lambda workload: remote(workload, "shm"),
    "RLMesh, grpc over TCP": lambda workload: remote(workload, "grpc"),
    "bare grpcio stream": lambda workload: bare(workload, "stream"),
    "bare grpcio unary call": lambda workload: bare(workload, "unary"),
}


def serve(workload: str) -> None:
    """The serving process of `remote`; prints its address, and ends with its standard input."""
    with rlmesh.EnvServer(WORKLOADS[workload]()) as server:
        print(server.address, flush=True)
        sys.stdin.read()


def serve_bare(workload: str, method: str) -> None:
    """The serving process of `bare`; prints its target, and ends with its standard input."""
    observation = WORKLOADS[workload]().reset()[0]
    answer: bytes = observation.tobytes() + b"x" * _OVERHEAD

    def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
        return answer

    def stream(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for _ in requests:
            yield answer

    handler: grpc.RpcMethodHandler[bytes, bytes] = (
        grpc.unary_unary_rpc_method_handler(unary)
        if method == "unary"
        else grpc.stream_stream_rpc_method_handler(stream)
    )
    server = grpc.server(
        futures.ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", -1)]
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bare", {method: handler}),)
    )
    print(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None).wait()


@contextlib.contextmanager
def _process(*arguments: str) -> Generator[str]:
    """A process of this package that tells its address; it ends with the context."""
    command = [sys.executable, "-m", "benchmarks.peer", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process without the pipes that were asked for")
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(10)


def _discard(_: object) -> None:
    """A step gives nothing back."""


def _stepper(env: gym.Env[Any, Any]) -> Step:
    """Steps with actions drawn before; now and then one step is a step and a reset."""
    env.action_space.seed(0)
    env.reset(seed=0)
    actions = itertools.cycle([env.action_space.sample() for _ in range(64)])

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(next(actions))
        if terminated or truncated:
            env.reset()

    return step
