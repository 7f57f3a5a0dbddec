"""Relays the calls of one session to the worker process of its model."""

from __future__ import annotations

from collections.abc import Collection
from time import perf_counter
from typing import Any, Protocol

from rlmesh.codec.step.prediction import Asked, read_prediction, write_prediction_call
from rlmesh.codec.step.wire import FAILURE, PREFIX
from rlmesh.server.failures import CallFailedError
from rlmesh.server.models.adapted_codecs import AdaptedCodecs
from rlmesh.server.models.codecs import ModelCodecs
from rlmesh.server.models.process.model_process import Line
from rlmesh.server.models.process.version import ProcessVersion
from rlmesh.server.sessions.endpoint import HotCall
from rlmesh.server.sessions.requests import Request, write_answer
from rlmesh.server.timings import Timings
from rlmesh.transports.pipe import BadFrameError, Outbox, Received, WakeReason
from rlmesh_api.contract import ModelContract
from rlmesh_api.v1 import session_pb2

# A message up to this size is copied faster as bytes than through a view.
_SMALL = 1 << 14


class Versions(Protocol):
    """The versions of a model, as `ServedModel` has them.

    Attributes:
        contract: The model's contract.
        codecs: What its values go through.
    """

    contract: ModelContract
    codecs: ModelCodecs

    def join(self) -> Any:
        """The version for an episode that begins; `leave` gives it back."""
        ...

    def leave(self, version: Any) -> None:
        """An episode with a version is over."""
        ...


class RelayBackend:
    """The session's part of a model in a worker process; see `SessionBackend`.

    All but `deviations` runs on the slot's thread. The session's states and its generator are in
    the worker. When that dies, the call in progress fails. Of a model that keeps state so does
    every later one, until a reset.

    Args:
        served: The model.

    Attributes:
        renders: False: a model has nothing to render.
        hot: Relays a prediction in the fixed form.
        timings: What this session's calls have cost.
        episodes: None: a model sees no end of an episode.
        dependent: The calls that depend on the call before.
        lender: None: the server relays every call.
    """

    renders = False

    def __init__(self, served: Versions) -> None:
        self._served = served
        self.lender: None = None
        self._version: ProcessVersion = served.join()
        self._key = self._version.new_key()
        self._line: Line | None = None
        self._lost: session_pb2.Failure | None = None
        # How the session is opened in each process, and the last reset, which a model without state
        # gets again in another one.
        self._open: bytes | None = None
        self._reset: bytes | None = None
        self.episodes: None = None
        self.timings: Timings = Timings()
        self.hot: HotCall = self._predict
        self._keeps = served.contract.keeps_state
        self.dependent: Collection[str] = frozenset({"predict"} if self._keeps else ())

    def adapt(self, call: session_pb2.OpenCall) -> None:
        """Has the worker put the session's values through steps; see `ModelBackend.adapt`.

        Raises:
            CallFailedError: If it cannot.
        """
        if call.HasField("adaptation"):
            served = self._served
            AdaptedCodecs(served.codecs, served.contract, call.adaptation)
            opening = session_pb2.OpenCall(adaptation=call.adaptation)
            self._open = session_pb2.SessionRequest(open=opening).SerializeToString()

    def answer(self, request: Request, outbox: Outbox) -> tuple[int, int]:
        """Executes any call but `close`, and writes the answer; see `SessionBackend`.

        Raises:
            CallFailedError: If the call fails, or the worker is or gets lost.
        """
        if request.payload is not None:
            return self._predict(request.sequence, request.payload, outbox)
        message = request.message or session_pb2.SessionRequest()
        response = session_pb2.SessionResponse(sequence=request.sequence)
        if request.kind == "stats":
            response.stats.MergeFrom(self.timings.to_proto())
            return write_answer(response, outbox)
        data = message.SerializeToString()
        if request.kind != "reset":
            return self._relay(data, request.sequence, request.name, outbox)
        before, self._version = self._version, self._served.join()
        self._served.leave(before)
        if self._version is not before or self._lost is not None:
            self._hang_up()
        self._lost, self._reset = None, data
        began = perf_counter()
        self._exchange(data, "reset")
        self.timings.of("reset").environment += perf_counter() - began
        response.reset.version = self._version.number
        return write_answer(response, outbox)

    @property
    def version(self) -> int:
        """The number of the version that answers until the next reset. Any thread may ask."""
        return self._version.number

    @property
    def answering(self) -> ProcessVersion:
        """That version. Any thread may ask."""
        return self._version

    def end(self) -> None:
        """The session is over."""
        self._hang_up()
        self._served.leave(self._version)

    def make_watch(self) -> None:
        """Returns None: viewers see a model's calls, and nothing besides."""

    def deviations(self) -> dict[str, int]:
        """How many actions were out of their bounds, by kind. Any thread may ask."""
        return self._version.deviations(self._key)

    def _predict(self, sequence: int, asked: Asked, outbox: Outbox) -> tuple[int, int]:
        # A call in the fixed form offers nothing; one that does comes as a message.
        slab = bytes(memoryview(asked.message)[asked.start : asked.start + asked.nbytes])
        data = write_prediction_call(sequence, slab, chunk=asked.chunk, count=asked.batch)
        return self._relay(data, sequence, "predict", outbox)

    def _relay(self, data: bytes, sequence: int, name: str, outbox: Outbox) -> tuple[int, int]:
        """Sends a call to the worker, and writes its answer as it came."""
        buffer, start, end = self._exchange(data, name)
        if name == "predict":
            self._note_times(buffer, start, end, sequence)
        # At the same place if it may be, as the slab is aligned there.
        begin = max(start, outbox.reserved) if outbox.reserved else 0
        last = begin + end - start
        slot = outbox.reserve(last)
        if last - begin <= _SMALL:
            slot[begin:last] = buffer[start:end]
        else:
            with memoryview(buffer) as view, view[start:end] as part:
                slot[begin:last] = part
        return begin, last

    def _note_times(self, buffer: Any, start: int, end: int, sequence: int) -> None:
        found: Any = read_prediction(buffer, start, end, sequence)
        if found is None:
            found = session_pb2.SessionResponse.FromString(bytes(buffer[start:end])).predict
        timing = self.timings.of("predict")
        timing.environment += found.model_seconds
        timing.queue += found.queue_seconds
        timing.batch_sizes += found.batch_size

    def _exchange(self, data: bytes, name: str) -> Received:
        """Sends a call to the worker, and waits for its answer.

        Raises:
            CallFailedError: If the call fails, or the worker is or gets lost.
        """
        version, key = self._version, self._key
        version.note(key, name)
        try:
            line = self._connected(name)
            received = self._asked(line, data)
            if isinstance(received, WakeReason):
                raise self._lose(line, f"in {name}()")
        finally:
            version.note(key, None)
        buffer, start, end = received
        if end - start > PREFIX and buffer[start + PREFIX] == FAILURE:
            answer = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
            raise CallFailedError(answer.failure)
        return received

    def _asked(self, line: Line, data: bytes) -> Received | WakeReason:
        line.pipe.send(data)
        try:
            return line.pipe.receive()
        except BadFrameError as error:
            line.worker.kill(f"it sent what cannot be: {error}")
            return WakeReason.GONE

    def _connected(self, name: str) -> Line:
        """The pipe to a worker that lives."""
        if self._lost is not None:
            raise CallFailedError(self._lost)
        line = self._line
        if line is not None and line.worker.going:
            return line
        if line is not None and self._keeps and name != "reset":
            raise self._lose(line, f"before {name}() was called")
        self._hang_up()
        line = self._line = self._version.connect(self._key)
        # The seed and the options of the episode, which goes on: the model keeps no state.
        reset = None if name == "reset" else self._reset
        for data, call in ((self._open, "open"), (reset, "reset")):
            received = None if data is None else self._asked(line, data)
            if isinstance(received, WakeReason):
                raise self._lose(line, f"in {call}()")
        return line

    def _lose(self, line: Line, when: str) -> CallFailedError:
        """Notes that the worker has died."""
        error = self._version.lost(line.worker, when)
        self._hang_up()
        if self._keeps:
            self._lost = error.failure
        return error

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.release()
