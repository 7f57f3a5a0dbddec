"""Exceptions of environments as failures: bounded, and as text, whatever was raised."""

from __future__ import annotations

import builtins
import os
import traceback
from types import FrameType, TracebackType

from rlmesh.errors import RlmeshError
from rlmesh_api.v1 import session_pb2

# What an exception may say, in characters. A simulator that puts its state into its message must
# not fill the client's terminal and the server's log.
MESSAGE_LIMIT = 8_000
TRACEBACK_LIMIT = 64_000

_ROOT = os.path.dirname(os.path.dirname(__file__))
# What calls environments; other parts of RLMesh may be what an environment calls.
_FOLDERS = ("envs", "parallel", "processes", "ray", "server")
_OURS = tuple(os.path.join(_ROOT, name, "") for name in _FOLDERS)


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


def env_raised(doing: str, error: BaseException) -> CallFailedError:
    """The failure that an exception of the environment is.

    Args:
        doing: What raised: `the environment's step()`.
        error: What it raised.
    """
    if isinstance(error, RlmeshError) and isinstance(error.__cause__, CallFailedError):
        # A sub-environment in a worker process has failed: what it says is kept as it is.
        return error.__cause__
    return _raised(session_pb2.ERROR_CODE_ENVIRONMENT, doing, error)


def model_raised(doing: str, error: BaseException) -> CallFailedError:
    """The failure that an exception of a model is; arguments as for `env_raised`."""
    return _raised(session_pb2.ERROR_CODE_MODEL, doing, error)


def _raised(
    code: session_pb2.ErrorCode.ValueType, doing: str, error: BaseException
) -> CallFailedError:
    name, message, trace = _describe(error)
    return CallFailedError(
        session_pb2.Failure(
            code=code,
            message=f"{doing} raised {name}: {message}" if message else f"{doing} raised {name}",
            exception_type=name,
            exception_message=message,
            traceback=trace,
            builtin_types=_builtin_types(type(error)),
        )
    )


def is_ours(filename: str) -> bool:
    """Whether a file is of the code that calls environments."""
    return filename.startswith(_OURS)


def stack_text(frame: FrameType) -> str:
    """Where a thread is, from the first frame that is not the server's own, as text."""
    frames = traceback.extract_stack(frame)
    ours = [index for index, entry in enumerate(frames) if is_ours(entry.filename)]
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
    while trace and trace.tb_next and is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _sendable(text: str, limit: int) -> str:
    """A text that protobuf takes, which knows no lone surrogates, with its middle left out."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()
