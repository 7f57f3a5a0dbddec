"""Other ways to serve a model, each as its documentation shows it.

Their libraries are imported by name where they are used: mostly they are not installed beside
RLMesh, and each stands in a virtual environment that has neither RLMesh nor the other ones.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Generator
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.models.task import (
    ACTIONS,
    CLIENTS,
    HORIZON,
    SLOW,
    compute,
    seen,
)
from benchmarks.peer import Announce, peer

Ask = Callable[[Any], Any]

# How long a batch waits for others; each library's smallest that makes batches.
_BATCH_WAIT = 0.002
_STARTING_SECONDS = 60.0
# The environment variable that names the model to the processes that a library starts.
_MODEL = "BENCHMARK_MODEL"
_WEBSOCKET: dict[str, Any] = {"compression": None, "max_size": None}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# openpi: openpi-client, and a server of its protocol, as openpi's own is written.


def serve_openpi(announce: Announce, model: str) -> None:
    """As `WebsocketPolicyServer` of openpi: one call after the other, in the event loop."""
    packing: Any = import_module("openpi_client.msgpack_numpy")
    websockets: Any = import_module("websockets.asyncio.server")

    async def handle(connection: Any) -> None:
        packer = packing.Packer()
        await connection.send(packer.pack({"horizon": HORIZON}))
        async for message in connection:
            observation = packing.unpackb(message)
            seen(observation)
            await connection.send(packer.pack({"actions": compute(model, 1)[0]}))

    async def run() -> None:
        async with websockets.serve(handle, "127.0.0.1", 0, **_WEBSOCKET) as server:
            announce(str(server.sockets[0].getsockname()[1]))
            await server.serve_forever()

    asyncio.run(run())


@contextlib.contextmanager
def openpi(model: str, count: int) -> Generator[list[Ask]]:
    """Unmodified clients of openpi-client."""
    policy: Any = import_module("openpi_client.websocket_client_policy")
    with peer(serve_openpi, model) as port:
        clients = [policy.WebsocketClientPolicy("127.0.0.1", int(port)) for _ in range(count)]
        yield [functools.partial(_actions_of, client.infer) for client in clients]


def _actions_of(infer: Ask, observation: Any) -> Any:
    return infer(observation)["actions"]


# vla-eval


def serve_vla_eval(announce: Announce, model: str) -> None:
    """Its `PredictModelServer`, in batches where there are many clients."""
    predicting: Any = import_module("vla_eval.model_servers.predict")
    serving: Any = import_module("vla_eval.model_servers.serve")
    anyio: Any = import_module("anyio")
    base: type[Any] = predicting.PredictModelServer

    class Server(base):  # type: ignore[misc] # it is imported by name
        def predict_batch(self, observations: Any, contexts: Any) -> Any:
            for observation in observations:
                seen(observation)
            return [{"actions": chunk} for chunk in compute(model, len(observations))]

    async def run() -> None:
        server = Server(max_batch_size=CLIENTS if model == SLOW else 1, max_wait_time=_BATCH_WAIT)
        async with anyio.create_task_group() as group:
            port = await group.start(serving.serve_async, server, "127.0.0.1", 0)
            announce(str(port))

    anyio.run(run)


@contextlib.contextmanager
def vla_eval(model: str, count: int) -> Generator[list[Ask]]:
    """Its `Connection`, one event loop for each client."""
    connecting: Any = import_module("vla_eval.connection")
    with peer(serve_vla_eval, model) as port, contextlib.ExitStack() as stack:
        yield [_vla_eval_client(connecting, port, stack) for _ in range(count)]


def _vla_eval_client(connecting: Any, port: str, stack: contextlib.ExitStack) -> Ask:
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    connection = connecting.Connection(f"ws://127.0.0.1:{port}")
    loop.run_until_complete(connection.connect())
    stack.callback(lambda: loop.run_until_complete(connection.close()))
    loop.run_until_complete(connection.start_episode({}))

    def ask(observation: Any) -> Any:
        return loop.run_until_complete(connection.act(observation))["actions"]

    return ask


# Over HTTP: LitServe with JSON, mosec with raw bytes.


class HttpClient:
    """A client that keeps its connection.

    Args:
        port: The server's port on this machine.
        path: The path that is asked.
        kind: The content type of what is sent.
    """

    def __init__(self, port: int, path: str, kind: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._path, self._headers = path, {"Content-Type": kind}

    def post(self, body: bytes) -> bytes:
        """Sends a body and returns the answer's.

        Raises:
            RuntimeError: If the answer is an error.
            OSError: If the server cannot be reached, or does not answer in time.
        """
        try:
            return self._post(body)
        except ConnectionError:
            # A server closes a connection that is idle for some seconds, as between two turns.
            return self._post(body)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _post(self, body: bytes) -> bytes:
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            # A connection that failed in the middle of a request takes no other one.
            self._connection.close()
            raise
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}: {content[:200]!r}")
        return content


def _await_http(post: Callable[[], object]) -> None:
    """Asks until an answer comes.

    Raises:
        RuntimeError: If none comes in time.
    """
    deadline = time.monotonic() + _STARTING_SECONDS
    while True:
        try:
            post()
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server does not answer: {error}") from error
            time.sleep(0.2)
        else:
            return


def serve_litserve(announce: Announce, model: str, port: str) -> None:
    """A `LitAPI`, in batches where there are many clients."""
    os.environ[_MODEL] = model
    litserve: Any = import_module("litserve")
    served: Any = import_module("benchmarks.models.litserve_api")
    most = CLIENTS if model == SLOW else 1
    api = served.TaskApi(max_batch_size=most, batch_timeout=_BATCH_WAIT)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    announce(port)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="error")


@contextlib.contextmanager
def litserve(model: str, count: int) -> Generator[list[Ask]]:
    """JSON with base64 over HTTP."""
    import_module("litserve")
    with peer(serve_litserve, model, str(_free_port())) as port:
        asks = [_litserve_client(int(port)) for _ in range(count)]
        yield _awaited(asks)


def _litserve_client(port: int) -> Ask:
    client = HttpClient(port, "/predict", "application/json")

    def ask(observation: Any) -> Any:
        body = {
            "image": base64.b64encode(observation["image"].tobytes()).decode(),
            "state": observation["state"].tolist(),
        }
        answer = json.loads(client.post(json.dumps(body).encode()))
        return _chunk_of(base64.b64decode(answer["actions"]))

    return ask


def serve_mosec(announce: Announce, model: str, port: str) -> None:
    """A `Worker` whose messages are the arrays' bytes."""
    # It reads the command line, and starts its own processes.
    sys.argv = [sys.argv[0], "--address", "127.0.0.1", "--port", port, "--log-level", "error"]
    os.environ[_MODEL] = model
    mosec: Any = import_module("mosec")
    worker: Any = import_module("benchmarks.models.mosec_worker")
    server = mosec.Server()
    many = {"max_batch_size": CLIENTS, "max_wait_time": 2} if model == SLOW else {}
    server.append_worker(worker.TaskWorker, num=1, env=[{_MODEL: model}], **many)
    announce(port)
    server.run()


@contextlib.contextmanager
def mosec(model: str, count: int) -> Generator[list[Ask]]:
    """The arrays' bytes over HTTP."""
    import_module("mosec")
    with peer(serve_mosec, model, str(_free_port())) as port:
        yield _awaited([_mosec_client(int(port)) for _ in range(count)])


def _mosec_client(port: int) -> Ask:
    client = HttpClient(port, "/inference", "application/octet-stream")

    def ask(observation: Any) -> Any:
        return _chunk_of(
            client.post(observation["image"].tobytes() + observation["state"].tobytes())
        )

    return ask


def _chunk_of(content: bytes) -> Any:
    return np.frombuffer(content, np.float32).reshape(HORIZON, ACTIONS).copy()


def _awaited(asks: list[Ask]) -> list[Ask]:
    from benchmarks.models.task import observation

    _await_http(lambda: asks[0](observation()))
    return asks


# Ray Serve


@contextlib.contextmanager
def ray_serve(model: str, count: int) -> Generator[list[Ask]]:
    """A deployment on one machine, asked by its handle; `@serve.batch` where there are many."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray: Any = import_module("ray")
    serve: Any = import_module("ray.serve")

    class Task:
        async def __call__(self, observation: Any) -> Any:
            seen(observation)
            return compute(model, 1)[0]

    class Tasks:
        @serve.batch(max_batch_size=CLIENTS, batch_wait_timeout_s=_BATCH_WAIT)  # type: ignore[untyped-decorator] # likewise
        async def __call__(self, observations: list[Any]) -> Any:
            return compute(model, len(observations))

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=512 * 2**20,
        _node_ip_address="127.0.0.1",
    )
    try:
        serve.start(proxy_location="Disabled")
        chosen = Tasks if model == SLOW else Task
        deployed = serve.deployment(max_ongoing_requests=4 * CLIENTS)(chosen)
        handle = serve.run(deployed.bind())
        yield [lambda observation: handle.remote(observation).result()] * count
    finally:
        serve.shutdown()
        ray.shutdown()
