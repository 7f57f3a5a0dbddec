"""One environment behind its contract: takes calls as messages, gives results as messages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.lanes.port import Plan
from rlmesh.server.attributes import Attributes, HiddenAttributeError
from rlmesh.server.autoreset import AutoresetRefusedError, in_mode
from rlmesh.server.calling import UnsupportedArgumentError, compile_reset
from rlmesh.server.failures import CallFailedError, env_raised, failed
from rlmesh.server.results import (
    BadResultError,
    flag_of,
    flags_of,
    reward_of,
    rewards_of,
    split_reset,
    split_step,
)
from rlmesh.values.conformance import Policy, Reporter, compile_check
from rlmesh.values.info_keys import CONFORMANCE_WARNING, INFO_DEGRADED
from rlmesh.values.layout import compile_layout
from rlmesh.values.misfit import Deviation, Misfit
from rlmesh.values.packing import Degraded, PackingError, pack, pack_info, unpack
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")


class ServedEnv:
    """An environment and the functions compiled from its contract. All calls from one thread.

    Args:
        env: The environment; `read_contract` has accepted it.
        contract: Its contract.
        policy: What to do about values outside of their bounds.
        exposed: The names of the attributes that a client may read, set or call.
    """

    def __init__(
        self, env: Any, contract: EnvContract, policy: Policy, exposed: frozenset[str]
    ) -> None:
        self._own_env = env
        self._contract = contract
        self._policy = policy
        self._attributes = Attributes(env, exposed, vector=contract.vector)
        lanes = self._lanes = contract.num_envs if contract.vector else None
        space = contract.observation_space
        self._tuple_space = space.kind == "tuple"
        self._observation_layout = compile_layout(space, lanes)
        self._check_observation = compile_check(
            space, lanes, self._observation_layout, contract.batched_observation_space
        )
        space = contract.action_space
        self._action_layout = compile_layout(space, lanes)
        self._check_action = compile_check(
            space, lanes, self._action_layout, contract.batched_action_space
        )
        self.begin_session(None)

    def begin_session(self, mode: AutoresetMode | None) -> None:
        """Prepares for the next client.

        Args:
            mode: The autoreset mode that it asks for; None: the environment's own.

        Raises:
            CallFailedError: If the mode cannot be had.
        """
        try:
            self._env = in_mode(self._own_env, self._contract, mode)
        except AutoresetRefusedError as error:
            raise failed(session_pb2.ERROR_CODE_INVALID_ARGUMENT, str(error)) from error
        self._reset = compile_reset(self._env)
        self._reporter = Reporter()
        self._told: set[tuple[str, str]] = set()

    @property
    def plan(self) -> Plan:
        """How much room calls take in shared memory."""
        return Plan.for_slabs(self._action_layout.size, self._observation_layout.size)

    def reset(self, call: session_pb2.ResetCall) -> session_pb2.ResetResult:
        """Resets the environment.

        Raises:
            CallFailedError: If the arguments, the environment or what it returned is at fault.
        """
        seed = _argument(call.seed, "seed")
        options = _argument(call.options, "options")
        returned = _guard("reset", lambda: self._reset(seed, options))
        try:
            observation, info = split_reset(returned, tuple_space=self._tuple_space)
            slab, deviations = self._encode(observation)
            return session_pb2.ResetResult(observation=slab, info=self._pack(info, deviations))
        except BaseException as error:
            raise _unreadable("reset", error) from error

    def step(self, call: session_pb2.StepCall) -> session_pb2.StepResult:
        """Steps the environment.

        Raises:
            CallFailedError: If the action, the environment or what it returned is at fault.
        """
        action, deviations = self._decode_action(call)
        returned = _guard("step", lambda: self._env.step(action))
        rewards: Iterable[float]
        terminations: Iterable[bool]
        truncations: Iterable[bool]
        try:
            observation, reward, terminated, truncated, info = split_step(returned, self._lanes)
            slab, more = self._encode(observation)
            if self._lanes is not None:
                rewards = rewards_of(reward, self._lanes).tolist()
                terminations = flags_of(terminated, self._lanes, "terminations").tolist()
                truncations = flags_of(truncated, self._lanes, "truncations").tolist()
            else:
                rewards = (reward_of(reward),)
                terminations = (flag_of(terminated, "terminated"),)
                truncations = (flag_of(truncated, "truncated"),)
            return session_pb2.StepResult(
                observation=slab,
                rewards=rewards,
                terminations=terminations,
                truncations=truncations,
                info=self._pack(info, deviations + more),
            )
        except BaseException as error:
            raise _unreadable("step", error) from error

    def render(self) -> session_pb2.RenderResult:
        """Renders the environment.

        Raises:
            CallFailedError: If the environment has no `render` or raises.
        """
        frame = _guard("render", lambda: self._env.render())  # noqa: PLW0108 - there may be no render
        try:
            return session_pb2.RenderResult(frame=pack(frame))
        except BaseException as error:
            raise _unreadable("render", error) from error

    def attribute(self, call: session_pb2.AttributeCall) -> session_pb2.AttributeResult:
        """Reads, sets or calls an attribute.

        Raises:
            CallFailedError: If the name is not exposed, or the environment raises.
        """
        argument = _argument(call.argument, "argument")
        result: session_pb2.AttributeResult = _guard(
            call.name, lambda: self._attributes.answer(call.verb, call.name, argument)
        )
        return result

    def close(self) -> None:
        """Closes the environment; what its `close` raises passes through."""
        self._own_env.close()

    def _decode_action(self, call: session_pb2.StepCall) -> tuple[Any, list[Deviation]]:
        noticed = [
            Deviation("overflow", d.path, d.lane if d.HasField("lane") else None, d.detail)
            for d in call.deviations
        ]
        if noticed and self._policy is Policy.STRICT:
            raise _bad_action(f"{noticed[0].path}: {noticed[0].detail}")
        try:
            action = self._action_layout.decode(call.action)
            return action, noticed + self._check_action(call.action, 0, self._policy)
        except Misfit as error:
            raise _bad_action(str(error)) from error
        except ValueError as error:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL, f"the action's slab is damaged: {error}"
            ) from error

    def _encode(self, observation: Any) -> tuple[bytes, list[Deviation]]:
        notes: list[Deviation] = []
        slab = bytes(self._observation_layout.encode(observation, notes))
        if notes and self._policy is Policy.STRICT:
            raise BadResultError(f"{notes[0].path}: {notes[0].detail}")
        return slab, notes + self._check_observation(slab, 0, self._policy)

    def _pack(self, info: Mapping[str, Any], deviations: list[Deviation]) -> bytes:
        if deviations and self._policy is not Policy.OFF:
            news = self._reporter.filter(deviations)
            if news:
                info = {**info, CONFORMANCE_WARNING: news}
        packed, degraded = pack_info(info)
        if degraded:
            self._tell_degraded(degraded)
        return packed

    def _tell_degraded(self, degraded: list[Degraded]) -> None:
        for part in degraded:
            # Once for what it is, not for where: a place may be another one at every step.
            what = (part.type, part.reason)
            if what not in self._told:
                self._told.add(what)
                _log.warning(
                    "the info's %s arrives as text, for a value of type %s cannot travel (%s); the "
                    "client's info lists it under %r",
                    part.path,
                    part.type,
                    part.reason,
                    INFO_DEGRADED,
                )


def _guard(name: str, call: Callable[[], Any]) -> Any:
    """Calls the environment; whatever it raises becomes a failure with its traceback."""
    try:
        return call()
    except (UnsupportedArgumentError, HiddenAttributeError) as error:
        raise failed(session_pb2.ERROR_CODE_INVALID_ARGUMENT, str(error)) from error
    except BadResultError as error:
        # Lanes of a list, and lanes whose autoreset mode is converted, are read in the call.
        raise _unreadable(name, error) from error
    except BaseException as error:
        raise env_raised(f"the environment's {name}()", error) from error


def _unreadable(name: str, error: BaseException) -> CallFailedError:
    """What went wrong while that was read which the environment returned.

    Reading may run code of the environment's own, `__array__` or `__float__`, hence raise anything.
    """
    if isinstance(error, (Misfit, BadResultError)):
        return failed(
            session_pb2.ERROR_CODE_INVALID_OBSERVATION,
            f"the environment's {name}() returned what its contract excludes: {error}. The next "
            f"call should be a reset",
            error,
        )
    return env_raised(f"reading what the environment's {name}() returned", error)


def _argument(packed: bytes, name: str) -> Any:
    if not packed:
        return None
    try:
        return unpack(packed)
    except PackingError as error:
        raise failed(session_pb2.ERROR_CODE_PROTOCOL, f"the {name} is damaged: {error}") from error


def _bad_action(reason: str) -> CallFailedError:
    return failed(
        session_pb2.ERROR_CODE_INVALID_ACTION,
        f"the action was refused: {reason}. The environment was not called",
    )
