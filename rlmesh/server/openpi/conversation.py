"""Answers the messages of one connection of openpi."""

from __future__ import annotations

import logging
from functools import partial
from time import perf_counter
from typing import Any

from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.codec.slab.violations import Deviation, Violation
from rlmesh.codec.step.prediction import Asked, Predicted, predicted, read_prediction
from rlmesh.contract import ModelContract
from rlmesh.foreign_text import LONGEST_TEXT, one_line
from rlmesh.openpi.forms import (
    ACTIONS,
    CONTRACT,
    NOTICE,
    OBSERVATION,
    OWN,
    TIMING,
    from_entries,
    to_entries,
)
from rlmesh.openpi.packing import MessageError, pack, unpack
from rlmesh.server.failures import CallFailedError, draining, failed
from rlmesh.server.openpi.connection import WebsocketStream
from rlmesh.server.sessions.calls import SessionCalls
from rlmesh.server.sessions.endpoint import ThreadStoppedError
from rlmesh.server.sessions.requests import Answered, Request
from rlmesh.server.sessions.session import Session
from rlmesh.transports.failures import error_from_failure
from rlmesh.transports.scratch import Scratch
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")

_MILLISECONDS = 1e3


class _Outbox(Scratch):
    """Where the session writes its answers; see `rlmesh.transports.pipe.Outbox`."""

    reserved = 0


class Conversation:
    """Answers the messages of one connection, on the connection's thread.

    The observation of a message becomes a slab, as every client sends it, and the session answers
    it as any other: with the same checks, the same queue and the same numbers.

    Args:
        stream: The connection.
        session: Its session.
        contract: The contract of the model that it asks.
        address: Where the server listens, for messages.
    """

    def __init__(
        self, stream: WebsocketStream, session: Session, contract: ModelContract, address: str
    ) -> None:
        self._stream = stream
        self._session = session
        self._contract = contract
        self._address = address
        self._calls = SessionCalls(session, by_stream=True)
        self._observation: Layout = compile_layout(contract.observation_space)
        self._chunk: Layout = compile_layout(contract.action_space, contract.horizon)
        self._outbox = _Outbox()

    def run(self) -> None:
        """Answers until either side ends the connection."""
        going = self._stream.send(pack(_metadata(self._contract)))
        sequence = self._session.sequence
        total: float | None = None
        while going:
            message = self._stream.receive()
            if message is None:
                return
            began = perf_counter()
            sequence += 1
            try:
                answer, going = self._answer(message, sequence, total)
            except CallFailedError as error:
                answer = self._failure_text(error.failure)
            going = self._stream.send(answer) and going
            total = perf_counter() - began
        refusal = self._session.refusal
        self._stream.close("the session ends" if refusal is None else refusal.message)

    def _answer(
        self, message: bytes | str, sequence: int, total: float | None
    ) -> tuple[bytes | str, bool]:
        """The answer to a message, and whether further messages may follow."""
        noticed: list[Deviation] = []
        slab = self._slab(message, noticed)
        began = perf_counter()
        (start, end, over), more = self._call(sequence, slab, noticed)
        seconds = perf_counter() - began
        more = more and not over
        found = read_prediction(self._outbox.view, start, end, sequence)
        if found is None:
            message = bytes(self._outbox.view[start:end])
            response = session_pb2.SessionResponse.FromString(message)
            if response.HasField("failure"):
                return self._failure_text(response.failure), more
            found = predicted(response.predict)
        timing = {"infer_ms": seconds * _MILLISECONDS}
        if total is not None:
            timing["prev_total_ms"] = total * _MILLISECONDS
        return pack(self._entries(found, timing)), more

    def _slab(self, message: bytes | str, noticed: list[Deviation]) -> bytes:
        """The observation of a message, as other clients send it.

        Raises:
            CallFailedError: If it is none of the model's space.
        """
        space = self._contract.observation_space
        try:
            if isinstance(message, str):
                raise MessageError("a text is no observation; send a binary message")
            entries = unpack(message, copy=False)
            value = from_entries(space, entries, OBSERVATION)
            return self._observation.encode(value, noticed)
        except Violation as error:
            raise self._refused(f"{error.path}: {error.detail}") from error
        except MessageError as error:
            raise self._refused(str(error)) from error

    def _refused(self, reason: str) -> CallFailedError:
        text = one_line(reason, LONGEST_TEXT)
        _log.warning("session %s: the observation was refused: %s", self._session.id, text)
        return failed(
            session_pb2.ERROR_CODE_INVALID_OBSERVATION,
            f"the observation was refused: {text}. The model was not called",
        )

    def _call(self, sequence: int, slab: bytes, noticed: list[Deviation]) -> tuple[Answered, bool]:
        """Has the session answer, on the slot's thread; whether further calls may follow.

        Raises:
            CallFailedError: If the call was given up, or the server has ended.
        """
        calls = self._calls
        if noticed:
            call = session_pb2.PredictCall(chunk=True, observation=slab)
            for each in noticed:
                call.deviations.add(kind=each.kind, path=each.path, detail=each.detail)
            request = session_pb2.SessionRequest(sequence=sequence, predict=call)
            work = partial(
                calls.answer,
                Request("predict", sequence, "predict", message=request),
                self._outbox,
            )
        else:
            asked = Asked(slab, 0, len(slab), True, 0)
            work = partial(calls.hot, sequence, asked, self._outbox)
        try:
            posted = self._session.slot.thread.post(work, name="predict", sequence=sequence)
        except ThreadStoppedError as error:
            raise CallFailedError(draining()) from error
        try:
            answered: Answered = posted.wait()
        except CallFailedError:
            # The call goes on, and writes there what nobody reads.
            self._outbox = _Outbox()
            calls.answered(posted.seconds)
            raise
        return answered, calls.answered(posted.seconds)

    def _entries(self, found: Predicted, timing: dict[str, float]) -> dict[str, Any]:
        chunk = self._chunk.decode(found.buffer, found.start, found.nbytes, True)
        entries = to_entries(self._contract.action_space, chunk, ACTIONS)
        entries.setdefault(TIMING, timing)
        if found.deviations:
            entries.setdefault(
                NOTICE,
                [
                    {"kind": each.kind, "path": each.path, "detail": each.detail}
                    for each in found.deviations
                ],
            )
        return entries

    def _failure_text(self, failure: session_pb2.Failure) -> str:
        error = error_from_failure(failure, self._address)
        return f"{type(error).__name__}: {error}"


def _metadata(contract: ModelContract) -> dict[str, Any]:
    """What a client gets when it connects: the model's own metadata, and its contract."""
    own = {
        "model": contract.id,
        "horizon": contract.horizon,
        CONTRACT: contract.to_proto().SerializeToString(),
    }
    return {**_packed(contract.metadata), OWN: own}


def _packed(metadata: Any) -> dict[str, Any]:
    """Those entries of a model's metadata that have a form in a message of openpi."""
    kept: dict[str, Any] = {}
    for key, value in dict(metadata).items():
        try:
            pack(value)
        except (TypeError, ValueError, OverflowError):
            _log.debug("metadata[%r] has no form in a message of openpi and is left out", key)
            continue
        kept[str(key)] = value
    return kept
