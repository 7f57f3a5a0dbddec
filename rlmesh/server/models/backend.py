"""Answers the calls of one session with a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any

from rlmesh.codec.checks.conformance import Reporter
from rlmesh.codec.slab.violations import Deviation
from rlmesh.codec.step.prediction import RESULT_HEAD, Asked, write_prediction
from rlmesh.server.arguments import options_of, seed_of
from rlmesh.server.failures import failed, model_raised
from rlmesh.server.models.adapted_codecs import AdaptedCodecs
from rlmesh.server.models.batcher import PredictionRequest
from rlmesh.server.models.caller import call_with_context
from rlmesh.server.models.codecs import ModelCodecs
from rlmesh.server.models.context import SessionContext
from rlmesh.server.models.served_model import ServedModel
from rlmesh.server.models.version import ModelVersion
from rlmesh.server.sessions.endpoint import HotCall
from rlmesh.server.sessions.requests import Request, write_answer
from rlmesh.server.timings import Timings
from rlmesh.transports.pipe import RESERVED, Outbox
from rlmesh_api.v1 import session_pb2

# Where an answer begins in shared memory, so that its slab is aligned: NumPy reads aligned numbers.
_ALIGNMENT = 64
_START = RESERVED + -(RESERVED + RESULT_HEAD) % _ALIGNMENT


class ModelBackend:
    """The session's part of a model: its states, its generator; see `SessionBackend`.

    All but `deviations` runs on the slot's thread.

    Args:
        served: The model.

    Attributes:
        renders: False: a model has nothing to render.
        hot: Answers a prediction in the fixed form.
        timings: What this session's calls have cost.
        episodes: None: a model sees no end of an episode.
        dependent: The calls that depend on the call before.
        lender: None: calls in this process are answered by it.
    """

    renders = False

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self.lender: None = None
        self._codecs: ModelCodecs | AdaptedCodecs = served.codecs
        self._version: ModelVersion = served.join()
        self._seed: int | None = None
        self._options: dict[str, Any] | None = None
        # One for each place in a batch; the first is that of single observations.
        self._contexts: list[SessionContext] = []
        self._deviations: dict[str, int] = {}
        self._reporter = Reporter()
        self.episodes: None = None
        self.timings: Timings = Timings()
        self._timing = self.timings.of("predict")
        self.hot: HotCall = self._predict
        keeps = served.contract.keeps_state
        self.dependent: Collection[str] = frozenset({"predict"} if keeps else ())

    def adapt(self, call: session_pb2.OpenCall) -> None:
        """Has the session's values go through the steps that its client asks for, if it does.

        Before the first call, on any thread.

        Raises:
            CallFailedError: If they cannot.
        """
        if call.HasField("adaptation"):
            served = self._served
            self._codecs = AdaptedCodecs(served.codecs, served.contract, call.adaptation)

    def answer(self, request: Request, outbox: Outbox) -> tuple[int, int]:
        """Executes any call but `close`, and writes the answer; see `SessionBackend`.

        Raises:
            CallFailedError: If the call fails.
        """
        if request.payload is not None:
            return self._predict(request.sequence, request.payload, outbox)
        message = request.message or session_pb2.SessionRequest()
        if request.kind == "predict":
            call = message.predict
            slab = call.observation
            offer = call.offer if call.HasField("offer") else None
            asked = Asked(slab, 0, len(slab), call.chunk, call.count, offer)
            return self._predict(request.sequence, asked, outbox, call.deviations)
        response = session_pb2.SessionResponse(sequence=request.sequence)
        if request.kind == "reset":
            self._reset(message.reset)
            response.reset.version = self._version.number
        elif request.kind == "stats":
            response.stats.MergeFrom(self.timings.to_proto())
        else:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL,
                f"the session is open and a model knows no call {request.kind!r}; allowed are "
                f"reset, predict, stats and close",
            )
        return write_answer(response, outbox)

    @property
    def version(self) -> int:
        """The number of the version that answers until the next reset. Any thread may ask."""
        return self._version.number

    @property
    def answering(self) -> ModelVersion:
        """That version. Any thread may ask."""
        return self._version

    def end(self) -> None:
        """The session is over."""
        self._served.leave(self._version)
        # The states end now, and not with the next run of the garbage collector: they may hold a
        # connection, or memory of a GPU.
        self._contexts = []

    def make_watch(self) -> None:
        """Returns None: viewers see a model's calls, and nothing besides."""

    def deviations(self) -> dict[str, int]:
        """How many actions were out of their bounds, by kind. Any thread may ask."""
        return dict(self._deviations)

    def _predict(
        self,
        sequence: int,
        asked: Asked,
        outbox: Outbox,
        noticed: Iterable[session_pb2.Deviation] = (),
    ) -> tuple[int, int]:
        observations = self._codecs.decode(asked, noticed)
        contexts = self._contexts
        if len(contexts) != len(observations):
            contexts = self._contexts_for(len(observations))
        if asked.offer is not None:
            contexts[0].offer(*self._codecs.decode_offer(asked.offer, asked))
        request = PredictionRequest(self._version.caller, observations, contexts, chunk=asked.chunk)
        timing = self._timing
        try:
            self._version.batcher.ask(request)
        finally:
            if asked.offer is not None:
                contexts[0].offer(None, 0)
            timing.environment += request.model_seconds
            timing.queue += request.queue_seconds
            timing.batch_sizes += request.batch_size
        for context in contexts:
            context.advance()
        start = _START if outbox.reserved else 0
        buffer, slab_end, deviations = self._codecs.encode_into(
            request.answers, asked, outbox, start
        )
        end = slab_end
        if deviations and (rest := self._listed(deviations)):
            end = slab_end + len(rest)
            buffer = outbox.reserve(end, slab_end)
            buffer[slab_end:end] = rest
        numbers = (request.queue_seconds, request.model_seconds, request.batch_size)
        write_prediction(buffer, start, sequence, end, numbers, slab_end)
        return start, end

    def _contexts_for(self, count: int) -> list[SessionContext]:
        if len(self._contexts) < count:
            self._begin_episodes(count)
        return self._contexts[:count]

    def _begin_episodes(self, count: int) -> None:
        """Makes the contexts that are missing, and has the model begin their episodes."""
        caller = self._version.caller
        reset = getattr(caller.model, "reset", None)
        for place in range(len(self._contexts), count):
            context = SessionContext(self._seed, self._options, place)
            if callable(reset):
                self._call_model(partial(call_with_context, reset, context), "reset")
            self._contexts.append(context)

    def _reset(self, call: session_pb2.ResetCall) -> None:
        self._seed, self._options = seed_of(call, None), options_of(call)
        before, self._version = self._version, self._served.join()
        self._served.leave(before)
        self._contexts = []
        self._begin_episodes(1)

    def _call_model(self, work: Any, name: str) -> None:
        """Calls the model on its thread; what it raises becomes a failure with its traceback."""

        def run() -> None:
            with self.timings.of(name):
                try:
                    work()
                except BaseException as error:
                    raise model_raised(f"the model's {name}()", error) from error

        self._version.call(run, name)

    def _listed(self, deviations: Sequence[Deviation]) -> bytes:
        """Counts deviations; those of a kind and path that are new, as the rest of a result."""
        rest = session_pb2.PredictResult()
        for each in deviations:
            self._deviations[each.kind] = self._deviations.get(each.kind, 0) + 1
        # Of a chunk or a batch the first place is enough.
        first = {(each.kind, each.path): each for each in reversed(deviations)}
        for new in self._reporter.filter(list(first.values())):
            rest.deviations.add(**new)
        message: bytes = rest.SerializeToString()
        return message
