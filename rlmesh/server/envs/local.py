"""The backend of an environment in this process: the usual one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rlmesh.codec.infos.packing import pack
from rlmesh.codec.step.reset import around_reset
from rlmesh.contract import AutoresetMode, EnvContract, read_contract
from rlmesh.envs.forks import EndsInChild
from rlmesh.envs.gym_compat import UnsupportedArgumentError, compile_render, compile_reset
from rlmesh.envs.results import BadResultError, split_reset
from rlmesh.server.arguments import argument_of, options_of, seed_of
from rlmesh.server.envs.attributes import Attributes, HiddenAttributeError
from rlmesh.server.envs.autoreset import AutoresetRefusedError, in_mode
from rlmesh.server.envs.backend import DEPENDENT, Step
from rlmesh.server.envs.codecs import Codecs
from rlmesh.server.envs.episodes import NONE_ENDED, Ended, EpisodeCounter, VectorEpisodeCounter
from rlmesh.server.envs.home_thread import HomeThread
from rlmesh.server.envs.infos import InfoPacker
from rlmesh.server.envs.list_vector_env import vector_of
from rlmesh.server.envs.options import EnvOptions
from rlmesh.server.envs.partial_step import PartialStepExecutor
from rlmesh.server.envs.recording import EnvRecording
from rlmesh.server.envs.step import StepExecutor
from rlmesh.server.envs.unreadable import unreadable
from rlmesh.server.envs.watch import RENDERED, EnvWatch
from rlmesh.server.failures import failed
from rlmesh.server.sessions.requests import Request, write_answer, write_parts
from rlmesh.server.timings import Timings
from rlmesh.transports.pipe import Outbox
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh_api.v1 import session_pb2


class LocalBackend:
    """An environment and the functions compiled from its contract; see `Backend`.

    Args:
        env: The environment; `read_contract` has accepted it.
        contract: Its contract.
        options: How it is served.
        given: What the user gave, where `env` was made of it; None: `env` itself.

    Attributes:
        contract: As given.
        lender: None: calls in this process are answered by it.
        hot: Steps it in this session.
        timings: How long this session's calls took.
        episodes: Counts this session's episodes; None: nothing does, as in an environment of many
            agents, each of which has its own.
        note_episodes: Called with what `episodes` has counted when that changes; None: nothing is.
    """

    dependent = DEPENDENT
    version = 0

    def __init__(
        self, env: Any, contract: EnvContract, options: EnvOptions, given: object = None
    ) -> None:
        self._own_env = env
        self._given = env if given is None else given
        self.lender: None = None
        self._home = HomeThread()
        self._closed = False
        self.contract: EnvContract = contract
        self._policy = options.policy
        self._exposed = options.exposed
        self._counts = options.counts_episodes and not contract.agents
        self.note_episodes: Callable[[Ended], None] | None = None
        self._tuple_space = contract.observation_space.kind == "tuple"
        self._own_codecs = Codecs(
            contract, contract.num_envs if contract.vector else None, options.policy
        )
        self._recording: EnvRecording | None = None
        self.begin_session(None)
        if options.record is not None:
            # From the first client on.
            self._recording = EnvRecording(options.record)

    def begin_session(
        self,
        mode: AutoresetMode | None,
        *,
        as_vector: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Prepares for the next client; see `Backend`."""
        contract, env, codecs = self.contract, self._own_env, self._own_codecs
        if as_vector and not contract.vector:
            contract, env, codecs = self._as_vector()
        try:
            env = self._env = in_mode(env, contract, mode)
        except AutoresetRefusedError as error:
            raise failed(session_pb2.ERROR_CODE_INVALID_ARGUMENT, str(error)) from error
        self._codecs = codecs
        self._attributes = Attributes(env, self._exposed, vector=contract.vector)
        self._render_env = compile_render(env)
        self._infos = InfoPacker(self._policy, codecs.num_envs)
        self.timings: Timings = Timings()
        mode = self._mode = mode or contract.autoreset_mode
        if self._recording is not None:
            env = self._recording.around(env, contract, mode)
        self._reset = compile_reset(env)
        self.episodes: EpisodeCounter | VectorEpisodeCounter | None = None
        if self._counts:
            self.episodes = self._count_episodes(env, codecs.num_envs, mode)
        self._steps = StepExecutor(
            self.episodes or env,
            codecs,
            self._infos,
            self.timings,
            mode,
            env_raised=self._home.env_raised,
        )
        self.hot: Step = self._steps.step
        self._partial = PartialStepExecutor(
            env,
            contract,
            self._policy,
            self.timings,
            self._home.env_raised,
            self.episodes,
            recorded=env is not self._env,
        )

    def _count_episodes(
        self, env: Any, num_envs: int | None, mode: AutoresetMode | None
    ) -> EpisodeCounter | VectorEpisodeCounter:
        if self.note_episodes is not None:
            self.note_episodes(NONE_ENDED)
        if num_envs is None:
            return EpisodeCounter(env, self.note_episodes)
        return VectorEpisodeCounter(env, num_envs, mode, self.note_episodes)

    def _as_vector(self) -> tuple[EnvContract, Any, Codecs]:
        """The environment as a vector environment of one, as a list of one would be."""
        env = vector_of([self._own_env])
        contract = read_contract(env, delivers_nan=self.contract.delivers_nan)
        return contract, env, Codecs(contract, 1, self._policy)

    @property
    def plan(self) -> SegmentLayout:
        """How much shared memory calls take."""
        return SegmentLayout.for_slabs(
            self._own_codecs.action.size, self._own_codecs.observation.size
        )

    def answer(self, request: Request, outbox: Outbox) -> tuple[int, int]:
        """Executes any call but `close`, and writes the answer; see `Backend`."""
        if request.payload is not None:
            return self.hot(request.sequence, request.payload, outbox)
        message, name = request.message or session_pb2.SessionRequest(), request.kind
        if name == "step":
            call = message.step
            return self._steps.step(request.sequence, call.action, outbox, call.deviations)
        if name == "step_many":
            return self._steps.step_many(message.step_many, request.sequence, outbox)
        if name == "reset":
            slab, info = self._reset_so(message.reset)
            before, after = around_reset(request.sequence, len(slab), info)
            return write_parts((before, slab, after), outbox)
        response = session_pb2.SessionResponse(sequence=request.sequence)
        if name == "render":
            response.render.MergeFrom(self._render())
        elif name == "step_some":
            response.step_some.MergeFrom(self._partial.step(message.step_some))
        elif name == "attribute":
            response.attribute.MergeFrom(self._attribute(message.attribute))
        elif name == "stats":
            response.stats.MergeFrom(self.timings.to_proto())
        else:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL,
                f"the session is open and this server knows no call {name!r}; allowed are reset, "
                f"step, step_many, step_some, render, attribute, stats and close",
            )
        return write_answer(response, outbox)

    def deviations(self) -> dict[str, int]:
        """How many values were out of their bounds in this session, by kind. Any thread may ask."""
        return dict(self._infos.deviations)

    @property
    def renders(self) -> bool:
        """Whether viewers may have `render` called: it returns an image, and changes nothing."""
        return self.contract.render_mode == RENDERED

    def make_watch(self) -> EnvWatch:
        """What viewers see of this session; see `Backend`."""
        codecs = self._codecs
        return EnvWatch(codecs.form, codecs.observation, codecs.num_envs, self._mode)

    def stack(self) -> str | None:
        """Returns None: the call in progress is where the slot's thread is."""

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Returns False: a call in this process cannot be ended by force."""
        return False

    def _reset_so(self, call: session_pb2.ResetCall) -> tuple[bytes, bytes]:
        """The slab of the observation, and the packed info."""
        seed, options = seed_of(call, self._codecs.num_envs), options_of(call)
        returned = self._guard("reset", "reset", lambda: self._reset(seed, options))
        if self.episodes is not None:
            self.episodes.begin(options)
        try:
            observation, info = split_reset(returned, tuple_space=self._tuple_space)
            slab, deviations = self._codecs.encode(observation)
            return slab, self._infos.pack(info, deviations)
        except BaseException as error:
            raise unreadable("reset", error) from error

    def _render(self) -> session_pb2.RenderResult:
        frame = self._guard("render", "render", self._render_env)
        try:
            return session_pb2.RenderResult(frame=pack(frame))
        except BaseException as error:
            raise unreadable("render", error) from error

    def _attribute(self, call: session_pb2.AttributeCall) -> session_pb2.AttributeResult:
        argument = argument_of(call)
        result: session_pb2.AttributeResult = self._guard(
            "attribute",
            call.name,
            lambda: self._attributes.answer(call.verb, call.name, argument),
        )
        return result

    def close(self) -> None:
        """Closes the environment; what its `close` raises passes through."""
        self._closed = True
        if self._recording is not None:
            self._recording.close()
        with EndsInChild():
            self._own_env.close()

    def holds(self, env: object) -> bool:
        """Whether this is its environment, and not closed. Any thread may ask."""
        return env is self._given and not self._closed

    def _guard(self, kind: str, name: str, call: Callable[[], Any]) -> Any:
        """Calls the environment; whatever it raises becomes a failure with its traceback."""
        try:
            with self.timings.of(kind), EndsInChild():
                return call()
        except (UnsupportedArgumentError, HiddenAttributeError) as error:
            raise failed(session_pb2.ERROR_CODE_INVALID_ARGUMENT, str(error)) from error
        except BadResultError as error:
            # Sub-environments of a list, and sub-environments whose autoreset mode is converted,
            # are read in the call.
            raise unreadable(name, error) from error
        except BaseException as error:
            raise self._home.env_raised(f"the environment's {name}()", error) from error
