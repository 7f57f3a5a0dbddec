"""One environment and its session: executes calls, all on one thread."""

from __future__ import annotations

import builtins
import logging
import os
import time
import traceback
from collections import Counter
from typing import Any, Callable

import numpy as np

from rlmesh_legacy_server.as_vector import AsVector
from rlmesh_legacy_server.contracts import read_contract
from rlmesh_legacy_server.messages import (
    CODE,
    MODE,
    VERB,
    CallFailedError,
    SessionResponse,
    StepResult,
    sendable,
)
from rlmesh_legacy_server.packing import Degraded, pack, pack_info
from rlmesh_legacy_server.results import (
    BadResultError,
    compile_render,
    compile_reset,
    split_reset,
    split_step,
)
from rlmesh_legacy_server.slabs import Deviation, Layout, Violation
from rlmesh_legacy_server.texts import described, guarded, one_line, typename
from rlmesh_legacy_server.unpacking import PackingError, unpack

CONFORMANCE_WARNING = "rlmesh.conformance.warning"
FATAL = (CODE["PROTOCOL"], CODE["INTERNAL"])
"""The codes of failures that end the session."""

_log = logging.getLogger("rlmesh_legacy_server")
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_MOST_REPORTED = 10_000
_MOST_SEED_BITS = 1024
_SEED = f"a seed is an int from 0 to 2**{_MOST_SEED_BITS} - 1, or None"


class Environment:
    """An environment, its contract, and what its present session needs.

    Args:
        env: The environment.
        policy: `warn`, `strict` or `off`: what to do about values out of their bounds.
        exposed: The names of the attributes that clients may use.
        nan: Whether NaN in a Box is delivered.

    Attributes:
        contract: Its contract, a message.
        timings: Of each kind of call: how many, seconds in the environment, seconds in all.
        deviations: How many values were out of their bounds in this session, by kind.
    """

    def __init__(self, env: Any, policy: str, exposed: frozenset[str], *, nan: bool) -> None:
        self._env, self._policy, self.exposed = env, policy, exposed
        self.contract = contract = read_contract(env, delivers_nan=nan)
        self._num_envs = contract.num_envs if contract.vector else None
        self._observations, self._actions = (
            Layout(space, self._num_envs, policy, nan=nan)
            for space in (contract.observation_space, contract.action_space)
        )
        self._tuple_space = contract.observation_space.WhichOneof("kind") == "tuple"
        self._reset_env, self._render_env = compile_reset(env), compile_render(env)
        self.timings: dict[str, list[float]] = {}
        self.deviations: dict[str, int] = Counter()
        self.begin_session(None, as_vector=False)

    def begin_session(self, mode: int | None, *, as_vector: bool) -> None:
        """Prepares for the next client.

        Raises:
            CallFailedError: If the environment cannot run the autoreset mode.
        """
        contract = self.contract
        own = contract.autoreset_mode if contract.HasField("autoreset_mode") else None
        self._as_vector: AsVector | None = None
        if (mode is not None and mode not in MODE.values()) or mode == 0:
            raise CallFailedError("INVALID_ARGUMENT", f"there is no autoreset mode {mode}")
        if as_vector and not contract.vector:
            if mode is None:
                raise CallFailedError(
                    "INVALID_ARGUMENT",
                    "as_vector at the endpoint of a single environment needs an autoreset_mode",
                )
            self._as_vector = AsVector(
                self._env, self._reset_env, mode, tuple_space=self._tuple_space
            )
        elif mode not in (None, own):
            name = next(name.lower() for name, number in MODE.items() if number == mode)
            raise CallFailedError(
                "INVALID_ARGUMENT",
                f"autoreset={name!r} is not available at this endpoint, whose environment "
                f"({type(self._env).__name__}) runs another one; connect without autoreset=",
            )
        # The axis of an answer: with `as_vector` the infos and rewards have one that slabs lack.
        self._axis = 1 if self._as_vector else self._num_envs
        self._stays_over = (own if mode is None else mode) == MODE["DISABLED"] or self._axis is None
        self.timings, self.deviations = {}, Counter()
        self._reported: set[tuple[str, str]] = set()
        self._warned: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Closes the environment; what its `close` raises passes through."""
        self._env.close()

    def answer(self, request: Any) -> Any:
        """Executes any call but `close`; the answer without its number.

        Raises:
            CallFailedError: If the arguments, the environment or what it returned is at fault.
        """
        response, kind = SessionResponse(), request.WhichOneof("call")
        if kind == "step":
            response.step.CopyFrom(self._step(request.step, kind)[0])
        elif kind == "step_many":
            self._step_many(request.step_many, response.step_many)
        elif kind == "reset":
            self._reset(request.reset, response.reset)
        elif kind == "render":
            frame = self._call(kind, kind, self._render_env)
            response.render.frame = self._read(kind, lambda: pack(frame)[0])
        elif kind == "attribute":
            call = request.attribute
            argument = _argument_of(call)
            made = self._call(kind, call.name, lambda: self._attribute(call, argument))
            response.attribute.CopyFrom(made)
        elif kind == "stats":
            response.stats.SetInParent()
            for name, (count, environment, server) in self.timings.items():
                response.stats.calls.add(
                    call=name,
                    count=int(count),
                    environment_seconds=environment,
                    server_seconds=server,
                )
        elif kind == "step_some":
            raise CallFailedError(
                "INVALID_ARGUMENT",
                "this environment steps all of its sub-environments at once; call step. The "
                "environment was not called",
            )
        else:
            raise CallFailedError(
                "PROTOCOL",
                f"the session is open and this server knows no call {kind or 'no call'!r}; allowed "
                f"are reset, step, step_many, render, attribute, stats and close",
            )
        return response

    def _reset(self, call: Any, result: Any) -> None:
        seed, options = _seed_of(call, self._axis), _options_of(call)
        reset = self._as_vector.reset if self._as_vector else self._reset_env
        returned = self._call("reset", "reset", lambda: reset(seed, options))

        def read() -> None:
            # A pair of `as_vector` is one whatever the space.
            tuple_space = self._tuple_space and not self._as_vector
            observation, info = split_reset(returned, self._axis, tuple_space=tuple_space)
            result.observation, found = self._observations.encode(observation)
            result.info = self._packed(info, found)

        self._read("reset", read)

    def _step(self, call: Any, kind: str) -> tuple[Any, bool]:
        """The result of a step, and whether an episode is over that goes no further."""
        action, noticed = self._action(call)
        step = self._as_vector.step if self._as_vector else self._env.step
        returned = self._call(kind, "step", lambda: step(action))

        def read() -> tuple[Any, bool]:
            observation, rewards, ended, cut, info = split_step(returned, self._axis)
            slab, found = self._observations.encode(observation)
            packed = self._packed(info, noticed + found)
            made = StepResult(
                observation=slab, rewards=rewards, terminations=ended, truncations=cut, info=packed
            )
            return made, self._stays_over and (any(ended) or any(cut))

        result: tuple[Any, bool] = self._read("step", read)
        return result

    def _step_many(self, call: Any, result: Any) -> None:
        result.SetInParent()
        try:
            for step in call.steps:
                made, over = self._step(step, "step_many")
                result.steps.add().CopyFrom(made)
                if over:
                    break
        except CallFailedError as error:
            if error.failure.code in FATAL:
                raise
            result.failure.CopyFrom(error.failure)

    def _action(self, call: Any) -> tuple[Any, list[Deviation]]:
        noticed = []
        paths = {leaf.path for leaf in self._actions.leaves}
        for each in call.deviations:
            env_index = each.env_index if each.HasField("env_index") else None
            if (
                each.kind != "overflow"
                or each.path not in paths
                or (env_index or 0) >= (self._axis or 1)
            ):
                raise CallFailedError(
                    "PROTOCOL",
                    "a client notices of an action what overflows in a part of its space",
                )
            noticed.append(Deviation("overflow", each.path, env_index, each.detail))
        refused = "the action was refused: {}. The environment was not called"
        if noticed and self._policy == "strict":
            text = f"{noticed[0].path}: {noticed[0].detail}"
            raise CallFailedError("INVALID_ACTION", refused.format(text))
        try:
            action, found = self._actions.decode(call.action)
        except Violation as error:
            raise CallFailedError("INVALID_ACTION", refused.format(error)) from error
        except ValueError as error:
            raise CallFailedError("PROTOCOL", f"the action's slab is damaged: {error}") from error
        return action, noticed + found

    def _packed(self, info: Any, deviations: list[Deviation]) -> bytes:
        """A packed info, with each deviation and degradation reported once in a session."""
        if deviations and self._policy != "off":
            if self._as_vector:
                deviations = [each._replace(env_index=0) for each in deviations]
            for each in deviations:
                self.deviations[each.kind] += 1
            news = [each for each in deviations if each[:2] not in self._reported]
            del news[max(0, _MOST_REPORTED - len(self._reported)) :]
            self._reported.update(each[:2] for each in news)
            if news:
                info = {**info, **self._warning([dict(each._asdict()) for each in news])}
        packed, degraded = pack_info(info, self._axis)
        self._warn(degraded)
        return packed

    def _warning(self, news: list[dict[str, Any]]) -> dict[str, Any]:
        if self._axis is None:
            return {CONFORMANCE_WARNING: news}
        lists = np.full(self._axis, None)
        for item in news:
            index = item["env_index"]
            for env_index in range(self._axis) if index is None else [index]:
                lists[env_index] = [*(lists[env_index] or ()), item]
        mask = np.array([listing is not None for listing in lists])
        return {CONFORMANCE_WARNING: lists, f"_{CONFORMANCE_WARNING}": mask}

    def _warn(self, degraded: list[Degraded]) -> None:
        for part in degraded:
            if (part.type, part.reason) not in self._warned:
                self._warned.add((part.type, part.reason))
                _log.warning(
                    "the info's %s arrives as text, for a value of type %s cannot travel (%s)",
                    *map(one_line, (part.path, part.type, part.reason)),
                )

    def _attribute(self, call: Any, argument: Any) -> Any:
        name, result = call.name, SessionResponse().attribute
        if name not in self.exposed:
            known = ", ".join(sorted(self.exposed)) or "none"
            raise CallFailedError(
                "INVALID_ARGUMENT",
                f"the server exposes no attribute {one_line(repr(name))} (exposed: {known}); name "
                f"it in EnvServer(..., expose=(...))",
            )
        found = (self._of_sub_envs if self.contract.vector else self._of_one)(call, argument)
        if callable(found) and call.verb == VERB["GET"] and not self.contract.vector:
            result.callable, found = True, None
        result.value, degraded = pack(found)
        if degraded:
            what, why, where = degraded[0].type, degraded[0].reason, degraded[0].path
            raise CallFailedError(
                "INVALID_ARGUMENT",
                f"{name}: a value of type {what} cannot travel ({why}, at {where}); have the "
                f"environment give numbers, texts, NumPy arrays, lists, tuples and dicts of them",
            )
        return result

    def _of_sub_envs(self, call: Any, argument: Any) -> Any:
        """What a vector environment's own method does for all sub-environments."""
        method = ("get_attr", "set_attr", "call")[call.verb - 1]
        if not hasattr(self._env, method):
            raise CallFailedError(
                "INVALID_ARGUMENT",
                f"{type(self._env).__name__} has no {method}(), so the attributes of its "
                f"sub-environments are not available",
            )
        if call.verb == VERB["CALL"]:
            return self._env.call(call.name, *argument[0], **argument[1])
        if call.verb == VERB["SET"]:
            return self._env.set_attr(call.name, argument)
        return self._env.get_attr(call.name)

    def _of_one(self, call: Any, argument: Any) -> Any:
        """The attribute of the outermost wrapper that has it, or else of the environment itself."""
        target, name = self._env, call.name
        while name not in vars(target) and not hasattr(type(target), name):
            if not hasattr(target, "env"):
                break
            target = target.env
        if call.verb == VERB["SET"]:
            return setattr(target, name, argument)
        found = getattr(target, name)
        return found(*argument[0], **argument[1]) if call.verb == VERB["CALL"] else found

    def _call(self, kind: str, name: str, call: Callable[[], Any]) -> Any:
        """Calls the environment; whatever it raises becomes a failure with its traceback."""
        began = time.perf_counter()
        try:
            return call()
        except CallFailedError:
            raise
        except BadResultError as error:
            raise _unreadable(name, error) from error
        except BaseException as error:
            raise _raised(f"the environment's {name}()", error) from error
        finally:
            self.timings.setdefault(kind, [0, 0.0, 0.0])[1] += time.perf_counter() - began

    def _read(self, name: str, read: Callable[[], Any]) -> Any:
        """Reads what the environment returned, which may run its code, and so raise anything."""
        try:
            return read()
        except BaseException as error:
            raise _unreadable(name, error) from error


def _unreadable(name: str, error: BaseException) -> CallFailedError:
    trace = _described(error)[2]
    if isinstance(error, Violation):
        return CallFailedError(
            "INVALID_OBSERVATION",
            f"the environment's {name}() returned an observation that its space does not hold: "
            f"{error}. The next call should be a reset",
            traceback=trace,
        )
    if isinstance(error, BadResultError):
        return CallFailedError(
            "INVALID_RESULT",
            f"the environment's {name}() returned what Gymnasium does not allow: {error}. The next "
            f"call should be a reset",
            traceback=trace,
        )
    return _raised(f"reading what the environment's {name}() returned", error)


def _raised(doing: str, error: BaseException) -> CallFailedError:
    name, message, trace = _described(error)
    return CallFailedError(
        "ENVIRONMENT",
        f"{doing} raised {name}: {message}" if message else f"{doing} raised {name}",
        exception_type=name,
        exception_message=message,
        traceback=trace,
        builtin_types=_builtin_types(type(error)),
    )


def failure_of(error: BaseException) -> Any:
    """The failure for an exception that ended a call."""
    if isinstance(error, CallFailedError):
        return error.failure
    text = f"{type(error).__name__} in the server itself: {error}; please report it"
    return CallFailedError("INTERNAL", text, traceback=_described(error)[2]).failure


def _described(error: BaseException) -> tuple[str, str, str]:
    """Type, message and traceback of an exception, whatever its own methods do."""
    name = guarded(lambda: sendable(typename(error)), "an exception of a type without a name")
    message = guarded(lambda: sendable(str(error)), "(no message: its __str__ raises)")
    trace = error.__traceback__
    while trace and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(_FOLDER):
        trace = trace.tb_next
    lines = guarded(
        lambda: "".join(traceback.format_exception(type(error), error, trace)),
        f"(no traceback: formatting it raises)\n{name}: {message}\n",
    )
    return name, message, sendable(lines, 64_000)


def _builtin_types(kind: type) -> list[str]:
    """The names of the built-in exceptions that a type derives from, without their own bases."""
    bases = [
        base
        for base in kind.__mro__
        if base is not Exception
        and issubclass(base, Exception)
        and getattr(builtins, base.__name__, None) is base
    ]
    rest = [b for b in bases if not any(o is not b and issubclass(o, b) for o in bases)]
    return [base.__name__ for base in rest]


def _unpacked(packed: bytes, name: str) -> Any:
    if not packed:
        return None
    try:
        return unpack(packed)
    except PackingError as error:
        raise CallFailedError("PROTOCOL", f"the {name} is damaged: {error}") from error


def _refused(reason: str) -> CallFailedError:
    return CallFailedError("INVALID_ARGUMENT", f"reset: {reason}. The environment was not called")


def _seed_of(call: Any, num_envs: int | None) -> Any:
    seed = _unpacked(call.seed, "seed")
    if num_envs is None or type(seed) is not list:
        return _checked(seed)
    if len(seed) != num_envs:
        raise _refused(
            f"seeds must be one for each of the {num_envs} sub-environments, got {len(seed)}"
        )
    return [_checked(each) for each in seed]


def _checked(seed: Any) -> int | None:
    if seed is None:
        return None
    if type(seed) is int and seed >= 0:
        if seed.bit_length() <= _MOST_SEED_BITS:
            return int(seed)
        raise _refused(f"{_SEED}; got an int of {seed.bit_length()} bits")
    raise _refused(f"{_SEED}; got {described(seed)}")


def _options_of(call: Any) -> Any:
    options = _unpacked(call.options, "options")
    if options is None or type(options) is dict:
        return options
    raise _refused(f"options must be a dict or None, got {described(options)}")


def _argument_of(call: Any) -> Any:
    """The argument of a call on an attribute: the value to set, or the arguments of the method."""
    argument = _unpacked(call.argument, "argument")
    fits = {
        VERB["GET"]: not call.argument,
        VERB["SET"]: bool(call.argument),
        VERB["CALL"]: type(argument) is list
        and [type(part) for part in argument] == [list, dict]
        and all(type(key) is str for key in argument[1]),
    }
    if not fits.get(call.verb):
        raise CallFailedError(
            "PROTOCOL",
            f"the argument {described(argument)} does not go with the verb {call.verb} of an "
            f"attribute: reading takes none, setting a value, calling a list of a list and a dict",
        )
    return argument
