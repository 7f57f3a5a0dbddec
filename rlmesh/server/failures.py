"""Failures as messages to clients: bounded, and as text, whatever was raised."""

from __future__ import annotations

import builtins
import os
import traceback
from collections.abc import Sequence
from types import FrameType, TracebackType

from rlmesh.contract import ContractDifference
from rlmesh.foreign_text import log_lines
from rlmesh_api.v1 import session_pb2

# What an exception may say, in characters. A simulator that puts its state into its message must
# not fill the client's terminal and the server's log.
MESSAGE_LIMIT = 8_000
TRACEBACK_LIMIT = 64_000

FATAL = (session_pb2.ERROR_CODE_PROTOCOL, session_pb2.ERROR_CODE_INTERNAL)
"""The codes of failures that end the session: client and server have no common ground."""

_HERE = os.path.dirname(__file__)


class CallFailedError(Exception):
    """A call that is answered with a failure."""

    def __init__(self, failure: session_pb2.Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failed(
    code: session_pb2.ErrorCode.ValueType, message: str, cause: BaseException | None = None
) -> CallFailedError:
    """A failure with a message, and the traceback of its cause if it has one."""
    return CallFailedError(
        session_pb2.Failure(
            code=code,
            message=_sendable(message, MESSAGE_LIMIT),
            traceback="" if cause is None else _describe(cause)[2],
        )
    )


def another_contract(differences: Sequence[ContractDifference]) -> str:
    """What is wrong with a factory whose environments have different contracts."""
    return (
        f"the factory made an environment with another contract than this endpoint's, which its "
        f"clients rely on: {'; '.join(map(str, differences))}. Have it make the same environment "
        f"every time"
    )


def env_raised(doing: str, error: BaseException) -> CallFailedError:
    """The failure that an exception of the environment is.

    Args:
        doing: What raised: `the environment's step()`.
        error: What it raised.
    """
    name, message, trace = _describe(error)
    return CallFailedError(
        session_pb2.Failure(
            code=session_pb2.ERROR_CODE_ENVIRONMENT,
            message=f"{doing} raised {name}: {message}" if message else f"{doing} raised {name}",
            exception_type=name,
            exception_message=message,
            traceback=trace,
            builtin_types=_builtin_types(type(error)),
        )
    )


def log_text(failure: session_pb2.Failure) -> str:
    """A failure's message and traceback, fit for a log."""
    text = "\n".join(filter(None, (failure.message, failure.traceback.rstrip())))
    return log_lines(text, MESSAGE_LIMIT + TRACEBACK_LIMIT)


def stack_text(frame: FrameType) -> str:
    """Where a thread is, from the first frame that is not the server's own, as text."""
    frames = traceback.extract_stack(frame)
    ours = [index for index, entry in enumerate(frames) if entry.filename.startswith(_HERE)]
    beyond = frames[ours[-1] + 1 :] if ours else frames
    return _sendable("".join(traceback.format_list(beyond or frames)), TRACEBACK_LIMIT)


def _builtin_types(kind: type[BaseException]) -> list[str]:
    """The names of the built-in exceptions that a type derives from, without their own bases."""
    if not issubclass(kind, Exception):
        return []
    bases = [
        base
        for base in kind.__mro__
        if base is not Exception
        and issubclass(base, Exception)
        and getattr(builtins, base.__name__, None) is base
    ]
    return [
        base.__name__
        for base in bases
        if not any(other is not base and issubclass(other, base) for other in bases)
    ]


def _describe(error: BaseException) -> tuple[str, str, str]:
    """Type, message and traceback of an exception, whatever its own methods do."""
    kind = type(error)
    try:
        name = kind.__qualname__
        if kind.__module__ != "builtins":
            name = f"{kind.__module__}.{name}"
        name = _sendable(name, MESSAGE_LIMIT)
    except BaseException:  # noqa: BLE001 - its type is the environment's code, and may raise anything
        name = "an exception of a type without a name"
    try:
        message = _sendable(str(error), MESSAGE_LIMIT)
    except BaseException:  # noqa: BLE001 - so is its text
        message = "(no message: its __str__ raises)"
    try:
        lines = traceback.format_exception(kind, error, _beyond_us(error.__traceback__))
        trace = _sendable("".join(lines), TRACEBACK_LIMIT)
    except BaseException:  # noqa: BLE001 - and so are its notes
        trace = f"(no traceback: formatting it raises)\n{name}: {message}\n"
    return name, message, trace


def _beyond_us(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the server's own frames at its beginning."""
    while trace and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    return trace


def _sendable(text: str, limit: int) -> str:
    """A text that protobuf takes, which knows no lone surrogates, with its middle left out."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def failure_of(error: Exception) -> session_pb2.Failure:
    """The failure for an exception that ended a call."""
    if isinstance(error, CallFailedError):
        return error.failure
    if isinstance(error, MemoryError):
        return failed(
            session_pb2.ERROR_CODE_INTERNAL,
            "the server has no memory left for this call; send less at once, or give the server's "
            "process more memory",
            error,
        ).failure
    return failed(
        session_pb2.ERROR_CODE_INTERNAL,
        f"{type(error).__name__} in RLMesh itself: {error}; please report it",
        error,
    ).failure


def draining() -> session_pb2.Failure:
    """The failure of a call that arrives while the server shuts down."""
    return failed(
        session_pb2.ERROR_CODE_DRAINING,
        "the server is shutting down and takes no more calls; connect again once it serves again",
    ).failure


def given_up(name: str) -> session_pb2.Failure:
    """The failure of a call that a shutdown no longer waits for."""
    return failed(
        session_pb2.ERROR_CODE_DRAINING,
        f"the server is shutting down, and the environment's {name}() did not return in the time "
        f"that it was given; connect again once it serves again",
    ).failure


def overdue(name: str, seconds: float) -> session_pb2.Failure:
    """The failure of a call that took longer than the server allows."""
    return failed(
        session_pb2.ERROR_CODE_DEADLINE,
        f"the environment's {name}() did not return within the {seconds:g} s that the server gives "
        f"a call (ServeOptions.call_timeout_seconds). The next call must be a reset, which waits "
        f"until the environment has returned",
    ).failure


def gone() -> session_pb2.Failure:
    """The failure of a call to a session that has ended, or never was."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        "this server has no such session: it was started again, or the session has ended. Its "
        "episode is gone; the next reset begins another one in a new session",
    ).failure


def died() -> session_pb2.Failure:
    """The failure of a session whose client process has died."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        "the process of the session's client has died, and the session ended with it",
    ).failure


def lost_for(seconds: float) -> session_pb2.Failure:
    """The failure of a session whose client did not reconnect."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        f"the server kept the session for {seconds:g} s after its connection had broken "
        f"(ServeOptions.resume_timeout_seconds), and ended it then. Its episode is gone; the next "
        f"reset begins another one in a new session",
    ).failure


def idle(seconds: float) -> session_pb2.Failure:
    """The failure of a session that ended because no call arrived."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        f"the server ended the session, as no call came for {seconds:g} s "
        f"(ServeOptions.session_idle_timeout_seconds). Its episode is gone; the next reset begins "
        f"another one in a new session",
    ).failure


def out_of_order(sequence: int, last: int) -> session_pb2.Failure:
    """The failure of a call whose number does not follow the calls before it."""
    return failed(
        session_pb2.ERROR_CODE_PROTOCOL,
        f"call {sequence} does not follow call {last}, which was the last one; a client repeats "
        f"the last call or makes the next one. The session ends",
    ).failure


def not_a_repetition(sequence: int) -> session_pb2.Failure:
    """Of a call that has the number of the last one and is another call."""
    return failed(
        session_pb2.ERROR_CODE_PROTOCOL,
        f"call {sequence} was another call; a client repeats a call as it was, and gives the next "
        f"one a number of its own. The session ends",
    ).failure
