"""The worker: a process that holds one environment and answers the calls that its server relays."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import pickle
import socket
import sys
from typing import Any

from google.protobuf.message import DecodeError

from rlmesh.contract import AutoresetMode, EnvContract, read_contract
from rlmesh.envs.forks import EndsInChild
from rlmesh.errors import RlmeshError
from rlmesh.processes.control import (
    ControlMessage,
    read_message,
    write_message,
)
from rlmesh.processes.parent_death import (
    StatusThread,
    end_with_server,
    leave_signals_to_server,
)
from rlmesh.processes.stack_dump import begin_recording
from rlmesh.server.envs.backend import ENV
from rlmesh.server.envs.foreign_vectors import served_form
from rlmesh.server.envs.local import LocalBackend
from rlmesh.server.envs.process.borrower import Borrower, ServerGoneError
from rlmesh.server.envs.process.call_page import PAGE_BYTES
from rlmesh.server.envs.process.spec import WorkerSpec
from rlmesh.server.failures import CallFailedError, env_raised, failure_of
from rlmesh.server.sessions.requests import Request, damaged, failed_so, read_request, write_answer
from rlmesh.transports.pipe import Outbox, Pipe, WakeReason
from rlmesh.transports.shm.segment import map_segment
from rlmesh.transports.worker import offer_pipe
from rlmesh_api.v1 import session_pb2


def main(server: int, calls: int, control: int, stack_dump: int, loans: int, page: int) -> None:
    """Runs a worker. The environment is made, called and closed on the main thread.

    Args:
        server: The server's process id.
        calls: The descriptor of the socket that the calls cross.
        control: The descriptor of the control channel.
        stack_dump: The descriptor of the stack dump; -1 where there is none.
        loans: The descriptor of the socket for loans of pipes; -1 where there is none.
        page: The descriptor of the call page; -1 where there is none.
    """
    end_with_server(server)
    leave_signals_to_server()
    for descriptor in (calls, control, stack_dump, loans, page):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    # A fatal signal writes the stack of the main thread to stderr, which the server keeps.
    faulthandler.enable(all_threads=False)
    begin_recording(stack_dump)
    calls_socket, control_socket = socket.socket(fileno=calls), socket.socket(fileno=control)
    os.register_at_fork(after_in_child=calls_socket.close)
    message = read_message(control_socket)
    if message is None:
        return
    spec: WorkerSpec = pickle.loads(message[1])  # noqa: S301 - from this process's own parent, by a pair of sockets
    sys.argv = spec.argv
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("rlmesh").setLevel(spec.level)
    status_thread = StatusThread(control_socket)
    try:
        backend, contract = _make(spec)
    except CallFailedError as error:
        control_socket.sendall(
            write_message(ControlMessage.FAILURE, error.failure.SerializeToString())
        )
        return
    status_thread.deviations = backend.deviations
    pipe = offer_pipe(calls_socket, backend.plan, memory=spec.memory)
    control_socket.sendall(
        write_message(ControlMessage.CONTRACT, contract.to_proto().SerializeToString())
    )
    borrower = _borrower(loans, page, backend)
    if borrower is not None:
        pipe.watch(loans)
    with contextlib.suppress(ServerGoneError):
        _serve(backend, pipe, borrower)
    pipe.finish()


def _borrower(loans: int, page: int, backend: LocalBackend) -> Borrower | None:
    if loans < 0:
        return None
    try:
        return Borrower(socket.socket(fileno=loans), map_segment(page, PAGE_BYTES), backend)
    finally:
        os.close(page)


def _serve(backend: LocalBackend, pipe: Pipe, borrower: Borrower | None) -> None:
    """Answers what the server relays, and the clients whose pipes it lends, until the end.

    Raises:
        ServerGoneError: If the server has ended.
    """
    over = False
    while not over:
        received = pipe.receive()
        if isinstance(received, tuple):
            buffer, start, end = received
            start, end, over = _answer(backend, bytes(buffer[start:end]), pipe, borrower)
            pipe.post(start, end)
        elif received is WakeReason.CALLED and borrower is not None:
            borrower.serve()
        else:
            return


def _make(spec: WorkerSpec) -> tuple[LocalBackend, EnvContract]:
    try:
        factory = pickle.loads(spec.factory)  # noqa: S301 - as above
    except BaseException as error:
        raise env_raised("reading the callable that makes the environment", error) from error
    try:
        with EndsInChild():
            env: Any = factory()
        env = served_form(env)
        contract = read_contract(env, delivers_nan=spec.options.delivers_nan)
        return LocalBackend(env, contract, spec.options), contract
    except RlmeshError as error:
        # With the type of the error: the server raises the same.
        raise CallFailedError(
            session_pb2.Failure(message=str(error), exception_type=type(error).__qualname__)
        ) from error
    except BaseException as error:
        raise env_raised("making the environment", error) from error


def _answer(
    backend: LocalBackend, message: bytes, outbox: Outbox, borrower: Borrower | None
) -> tuple[int, int, bool]:
    """Executes a call and writes its answer; where that stands, and whether it was the last."""
    try:
        request = read_request(message, ENV)
    except DecodeError as error:
        return *_failed(0, damaged(error), outbox), False
    # By its kind: an attribute may have any name.
    over = request.message is not None and request.message.HasField("close")
    if borrower is not None:
        if request.kind == "open":
            borrower.forget()
        failure = borrower.failure_of(request.sequence)
        if failure is not None:
            return *write_answer(failed_so(request.sequence, failure), outbox), False
    try:
        return *_execute(backend, request, outbox), over
    except Exception as error:  # noqa: BLE001 - a defect of RLMesh must not end the worker
        return *_failed(request.sequence, error, outbox), over


def _execute(backend: LocalBackend, request: Request, outbox: Outbox) -> tuple[int, int]:
    if request.payload is not None:
        return backend.hot(request.sequence, request.payload, outbox)
    call = request.message or session_pb2.SessionRequest()
    response = session_pb2.SessionResponse(sequence=request.sequence)
    if call.HasField("open"):
        opening = call.open
        mode = AutoresetMode.from_proto(opening.autoreset_mode) if opening.autoreset_mode else None
        backend.begin_session(mode, as_vector=opening.as_vector)
        response.open.SetInParent()
    elif call.HasField("close"):
        _close(backend)
        response.close.SetInParent()
    else:
        return backend.answer(request, outbox)
    return write_answer(response, outbox)


def _close(backend: LocalBackend) -> None:
    try:
        backend.close()
    except BaseException as error:
        raise env_raised("the environment's close()", error) from error


def _failed(sequence: int, error: Exception, outbox: Outbox) -> tuple[int, int]:
    cause = error.__cause__
    if isinstance(cause, SystemExit):
        # The environment has this process to itself, so it may end it.
        raise cause
    return write_answer(failed_so(sequence, failure_of(error)), outbox)
