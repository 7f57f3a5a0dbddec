"""The worker: a process that holds one model, its sessions' states and its batches."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from typing import Any

from google.protobuf.message import DecodeError

from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.envs.forks import EndsInChild
from rlmesh.errors import InvalidModelError, RlmeshError
from rlmesh.processes.control import ControlMessage, write_message
from rlmesh.processes.parent_death import (
    StatusThread,
)
from rlmesh.processes.worker_start import read_spec, start_worker
from rlmesh.server.failures import CallFailedError, failure_of, model_raised
from rlmesh.server.models.backend import ModelBackend
from rlmesh.server.models.local import LocalMaker
from rlmesh.server.models.process.model_process import KEY_BYTES
from rlmesh.server.models.process.spec import ModelSpec
from rlmesh.server.models.provider import MODEL
from rlmesh.server.models.served_model import ServedModel
from rlmesh.server.models.version import ModelVersion
from rlmesh.server.sessions.requests import damaged, failed_so, read_request, write_answer
from rlmesh.transports.pipe import Outbox, Pipe
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh.transports.worker import offer_pipe
from rlmesh_api.v1 import env_service_pb2, session_pb2

# The calls of the server itself are small.
_OWN_CALLS = SegmentLayout.for_slabs(0, 0)


def main(server: int, calls: int, control: int, stack_dump: int, sessions: int) -> None:
    """Runs a worker. The model is made, called and closed on the main thread.

    Args:
        server: The server's process id.
        calls: The descriptor of the socket for the server's own calls.
        control: The descriptor of the control channel.
        stack_dump: The descriptor of the stack dump; -1 where there is none.
        sessions: The descriptor of the socket over which sessions are handed over.
    """
    start_worker(server, stack_dump, (calls, control, sessions))
    calls_socket, control_socket, channel = (
        socket.socket(fileno=descriptor) for descriptor in (calls, control, sessions)
    )
    for each in (calls_socket, channel):
        os.register_at_fork(after_in_child=each.close)
    spec: ModelSpec | None = read_spec(control_socket)
    if spec is None:
        return
    status_thread = _StatusThread(control_socket)
    try:
        served = _make(spec)
    except CallFailedError as error:
        control_socket.sendall(
            write_message(ControlMessage.FAILURE, error.failure.SerializeToString())
        )
        return
    worker = _Worker(served, spec)
    status_thread.worker = worker
    pipe = offer_pipe(calls_socket, _OWN_CALLS, memory=False)
    control_socket.sendall(
        write_message(ControlMessage.CONTRACT, served.contract.to_proto().SerializeToString())
    )
    threading.Thread(
        target=worker.answer_server, args=(pipe,), name="rlmesh-worker-calls", daemon=True
    ).start()
    threading.Thread(
        target=worker.take_sessions, args=(channel,), name="rlmesh-worker-sessions", daemon=True
    ).start()
    worker.version.thread.run()
    pipe.finish()


class _Worker:
    """The model, and the sessions that ask it, each from its own thread.

    Args:
        served: The model.
        spec: What was asked for.

    Attributes:
        version: The only version of the model.
        sessions: What answers each session, by the session's key.
    """

    def __init__(self, served: ServedModel, spec: ModelSpec) -> None:
        version = served.current
        assert isinstance(version, ModelVersion)  # noqa: S101 - a worker starts no further worker
        self.version: ModelVersion = version
        self.sessions: dict[int, ModelBackend] = {}
        self._served = served
        self._memory = spec.memory
        codecs = served.codecs
        self._plan = SegmentLayout.for_slabs(codecs.observation_size, codecs.answer_size)

    def answer_server(self, pipe: Pipe) -> None:
        """Answers the server's own calls, `open` to warm up and `close`, until the last one."""
        while isinstance(received := pipe.receive(), tuple):
            buffer, start, end = received
            call = session_pb2.SessionRequest.FromString(bytes(buffer[start:end]))
            response = session_pb2.SessionResponse()
            try:
                if call.HasField("close"):
                    self.version.call(self.version.close, "close")
                    response.close.SetInParent()
                else:
                    self._warm_up()
                    response.open.SetInParent()
            except Exception as error:  # noqa: BLE001 - the server reports it
                response = failed_so(0, failure_of(error))
            start, end = write_answer(response, pipe)
            pipe.post(start, end)
            if call.HasField("close"):
                self.version.thread.stop()
                return

    def _warm_up(self) -> None:
        done = threading.Event()
        raised: list[BaseException | None] = []

        def then(error: BaseException | None) -> None:
            raised.append(error)
            done.set()

        self.version.warm_up(then)
        done.wait()
        if raised[0] is not None:
            raise model_raised("the model's warmup()", raised[0])

    def take_sessions(self, channel: socket.socket) -> None:
        """Starts a thread for each session that the server hands over, until it has gone."""
        while True:
            key, descriptors, _, _ = socket.recv_fds(channel, KEY_BYTES, 1)
            if not descriptors:
                return
            sock = socket.socket(fileno=descriptors[0])
            threading.Thread(
                target=self._answer_session,
                args=(int.from_bytes(key, "big"), sock),
                name="rlmesh-model-session",
                daemon=True,
            ).start()

    def _answer_session(self, key: int, sock: socket.socket) -> None:
        pipe = offer_pipe(sock, self._plan, memory=self._memory)
        backend = self.sessions[key] = ModelBackend(self._served)
        try:
            while isinstance(received := pipe.receive(), tuple):
                buffer, start, end = received
                message = bytes(buffer[start:end])
                # The buffer may be written on now.
                del received, buffer
                pipe.post(*_answer(backend, message, pipe))
        finally:
            del self.sessions[key]
            backend.end()
            pipe.release()


class _StatusThread(StatusThread):
    """Reports what the model is doing, and what its sessions have noticed.

    Attributes:
        worker: The worker; None while the model is made.
    """

    worker: _Worker | None = None

    def report(self) -> bytes:
        """A serialized `GetStatusResponse`; see `StatusThread`."""
        status = env_service_pb2.GetStatusResponse()
        worker = self.worker
        if worker is None:
            status.models.add(call="load", stack=self.stack())
            return status.SerializeToString()
        status.models.append(worker.version.status())
        for key, backend in list(worker.sessions.items()):
            session = status.sessions.add(session_id=str(key))
            for kind, count in backend.deviations().items():
                session.deviations.add(kind=kind, count=count)
        return status.SerializeToString()


def _make(spec: ModelSpec) -> ServedModel:
    try:
        factory, spaces = pickle.loads(spec.factory)  # noqa: S301 - as above
    except BaseException as error:
        raise model_raised("reading the callable that makes the model", error) from error
    try:
        with EndsInChild():
            model: Any = factory()
        if is_mapping(model):
            raise InvalidModelError(
                "with isolation='process' a callable makes one model, got a mapping; give "
                "ModelWorker a mapping of names to such callables"
            )
        return ServedModel(model, spec.name, LocalMaker(spaces, spec.options), spec.options)
    except RlmeshError as error:
        # With the type of the error: the server raises the same.
        raise CallFailedError(
            session_pb2.Failure(message=str(error), exception_type=type(error).__qualname__)
        ) from error
    except BaseException as error:
        raise model_raised("making the model", error) from error


def _answer(backend: ModelBackend, message: bytes, outbox: Outbox) -> tuple[int, int]:
    """Executes a call and writes its answer; where that stands."""
    try:
        request = read_request(message, MODEL)
    except DecodeError as error:
        return write_answer(failed_so(0, failure_of(damaged(error))), outbox)
    try:
        if request.kind == "open":
            # Of a session with steps, whose server has checked them.
            backend.adapt((request.message or session_pb2.SessionRequest()).open)
            return write_answer(session_pb2.SessionResponse(), outbox)
        return backend.answer(request, outbox)
    except Exception as error:  # noqa: BLE001 - a defect of RLMesh must not end the session
        return write_answer(failed_so(request.sequence, failure_of(error)), outbox)
