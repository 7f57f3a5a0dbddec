"""Exchanges the calls of a client with its environment, one at a time."""

from __future__ import annotations

from time import perf_counter

from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.endpoint import EnvEndpoint
from rlmesh.client.endpoint_calls import EndpointCalls, wait_for
from rlmesh.client.stats import CallStats, Tally
from rlmesh.codec.slab.protocols import Readable
from rlmesh.codec.step.protocols import ReadAnswer, Stepped
from rlmesh.codec.step.reset import ReadReset, read_reset
from rlmesh.codec.step.result import read_steps, stepped
from rlmesh.codec.step.wire import write_action
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import CallTimeoutError, EndpointError, ProtocolError, RlmeshError
from rlmesh.transports.failures import error_from_failure
from rlmesh.transports.pipe import Received
from rlmesh.transports.transport import Wait
from rlmesh_api.v1 import session_pb2

_STEP = Wait("step")


class CallClient(EndpointCalls):
    """One session with one environment.

    Args:
        address: The endpoint's address.
        options: How to connect.

    Attributes:
        address: The endpoint's address.
        contract: Its contract.
        num_envs: The number of sub-environments of a vector environment; None for a single one.
        mode: When sub-environments reset themselves in this session; None for a single
            environment, and where neither the contract nor the caller says.
        read_step_in_form: Reads a step's answer; None where `read_step` must.

    Errors are those of `EndpointCalls`.
    """

    def __init__(self, address: str, options: EnvConnectOptions) -> None:
        endpoint = EnvEndpoint(options)
        super().__init__(address, options, endpoint, "step")
        self.step_tally: Tally = self.hot_tally
        self.contract: EnvContract = endpoint.contract
        self.num_envs: int | None = endpoint.num_envs
        self.mode: AutoresetMode | None = endpoint.mode
        self._form = endpoint.form
        self.read_step_in_form: ReadAnswer = self._form.read_answer

    def step(self, action: bytes, began: float) -> tuple[Readable, int, int, int]:
        """Has the environment step.

        Args:
            action: The action's slab.
            began: When its encoding began, on the clock of `time.perf_counter`.

        Returns:
            The answer as `ReadAnswer` takes it, for `read_step_in_form`; valid until the next call.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says.
        """
        # Station 3 of a step (docs/architecture.md): the call gets the next number and is posted on
        # the transport. The code of `post_step`, `_begin` and `take` stands here again, to save
        # three frames on the path of a step.
        try:
            self._free.pop()
        except IndexError:
            raise self._in_use() from None
        try:
            timeout = self._request_timeout
            transport = self._transport
            if self._closed or self._behind or transport is None:
                transport = self._begin("step", known=True)
                sequence = self._sequence
            else:
                sequence = self._sequence = self._sequence + 1
            wait = _STEP if timeout is None else wait_for("step", timeout)
            message = write_action(sequence, action)
            tally = self.step_tally
            self._behind = True
            posted = perf_counter()
            try:
                transport.post(message, wait)
                tally.begin(began, posted, len(message))
                received = transport.take(sequence, wait)
            except EndpointError as error:
                tally.begin(began, posted, len(message))
                received = self._mend(error, message, wait)
            except CallTimeoutError as error:
                self._session.explain(error)
                raise
            # Station 11 of a step: the client is awake; the sequence number is checked below.
            tally.came = tally.done = perf_counter()
            self._behind = False
        finally:
            self._free.append(True)
        buffer, start, end = received
        tally.open = end - start
        return buffer, start, end, sequence

    def step_many(self, call: session_pb2.StepManyCall) -> tuple[list[Stepped], RlmeshError | None]:
        """Has the environment step several times.

        Returns:
            The result of each step, and the failure of the step after those, if it failed.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says, if there is no result of any step.
        """
        received = self.call(session_pb2.SessionRequest(step_many=call), known=True)
        buffer, start, end = received
        found = read_steps(self._form, buffer, start, end, self._sequence)
        if found is not None:
            return found, None
        result = self.read(received, "step_many").step_many
        failure = None
        if result.HasField("failure"):
            failure = error_from_failure(result.failure, self.address)
            self._note(failure)
        return [self._stepped(step) for step in result.steps], failure

    def stats(self) -> dict[str, CallStats]:
        """What the calls of each kind have cost in this session."""
        return {name: tally.stats(served) for name, (tally, served) in self.call_stats().items()}

    def exchange_step(self, request: session_pb2.SessionRequest) -> Stepped:
        """As `step`, for a call that has more in it than an action's slab."""
        return self.read_step(self.call(request, known=True))

    def read_reset(self, received: Received) -> ReadReset | None:
        """Reads the answer to a reset in the usual form; None where `read` must read it."""
        return read_reset(*received, self._sequence)

    def read_step(self, received: Received) -> Stepped:
        """Reads a step's answer in any form, or raises the failure that it reports."""
        return self._stepped(self.read(received, "step").step)

    def _stepped(self, result: session_pb2.StepResult) -> Stepped:
        found = stepped(result, self.num_envs)
        if found is None:
            raise ProtocolError(
                f"the answer of {self.address} cannot be read: a step needs a reward and two flags "
                f"for each sub-environment. Its server is another version of RLMesh, or no RLMesh "
                f"server"
            )
        return found

    def post_step(self, action: bytes) -> None:
        """Sends a step, whose answer `take` returns; only between `hold` and `let_go`."""
        timeout = self._request_timeout
        transport = self._begin("step", known=True)
        wait = _STEP if timeout is None else wait_for("step", timeout)
        self._post(transport, write_action(self._sequence, action), wait)

    def take_step(self) -> Stepped:
        """As `take`, for a step; returns its result."""
        received = self.take()
        found = self.read_step_in_form(*received, self._sequence)
        return self.read_step(received) if found is None else found
