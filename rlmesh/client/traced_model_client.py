"""A `ModelClient` that makes spans; imported where spans are made."""

from __future__ import annotations

from typing import Any

from rlmesh.client.call_spans import CallSpans
from rlmesh.client.model_client import ModelClient
from rlmesh.client.model_endpoint import ModelConnectOptions
from rlmesh.codec.slab.layout import Layout
from rlmesh.transports.transport import Transport, Wait
from rlmesh_api.v1 import session_pb2


class TracedModelClient(ModelClient):
    """A `ModelClient` whose resets and predictions have spans.

    Arguments and errors are those of `ModelClient`.
    """

    def __init__(self, address: str, options: ModelConnectOptions) -> None:
        super().__init__(address, options)
        if self.spans is None:
            raise ValueError("a traced client needs the spans of its session")
        self._spans: CallSpans = self.spans

    def reset(self, seed: Any, options: Any) -> None:
        """Begins an episode."""
        self._spans.begin_call("reset")
        with self._spans.ending_call():
            super().reset(seed, options)

    def take_prediction(self) -> Any:
        """Awaits the answer to what was posted, and returns it."""
        if self._awaited is None:
            return super().take_prediction()
        with self._spans.ending_call():
            return super().take_prediction()

    def _send(
        self,
        layout: Layout,
        value: Any,
        answer: Layout,
        chunk: bool,
        count: int,
        offer: session_pb2.ChunkOffer | None = None,
    ) -> None:
        if self._awaited is not None:
            # The call that was posted goes on, and this one is refused.
            super()._send(layout, value, answer, chunk, count, offer)
            return
        self._spans.begin_call("predict")
        with self._spans.failing_call():
            super()._send(layout, value, answer, chunk, count, offer)

    def _write(
        self,
        transport: Transport,
        wait: Wait,
        layout: Layout,
        value: Any,
        chunk: bool,
        count: int,
    ) -> int:
        # Sent as bytes, to which `_post` adds where the call stands in its trace.
        return 0

    def _post(self, transport: Transport, message: bytes, wait: Wait) -> None:
        if wait.call == "predict":
            trace = session_pb2.SessionRequest(trace=self._spans.carried())
            # Messages of protobuf that follow each other are one.
            message += trace.SerializeToString()
        super()._post(transport, message, wait)
