"""What a client gives to `reset` and to an attribute, read from its packed form and checked."""

from __future__ import annotations

from typing import Any

from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.packing import PackingError
from rlmesh.codec.infos.unpacking import unpack_argument
from rlmesh.limits import MAX_SEED_BITS
from rlmesh.server.failures import CallFailedError, failed
from rlmesh_api.v1 import session_pb2

_SEED = f"a seed is an int from 0 to 2**{MAX_SEED_BITS} - 1, or None"


def seed_of(call: session_pb2.ResetCall, num_envs: int | None) -> Any:
    """The seed of a reset.

    Args:
        call: The call.
        num_envs: The number of sub-environments of a vector environment; None for a single one.

    Raises:
        CallFailedError: If it is none that an environment can be given, or is damaged.
    """
    seed = _unpacked(call.seed, "seed")
    if num_envs is None or kind_of(seed) is not list:
        return _checked(seed)
    if len(seed) != num_envs:
        raise _refused(
            f"reset: seeds must be one for each of the {num_envs} sub-environments, got {len(seed)}"
        )
    return [_checked(each) for each in seed]


def options_of(call: session_pb2.ResetCall) -> dict[Any, Any] | None:
    """The options of a reset.

    Raises:
        CallFailedError: If they are neither a dict nor None, or are damaged.
    """
    options: dict[Any, Any] | None = _unpacked(call.options, "options")
    if options is None or kind_of(options) is dict:
        return options
    raise _refused(f"reset: options must be a dict or None, got {_shown(options)}")


def argument_of(call: session_pb2.AttributeCall) -> Any:
    """The argument of a call on an attribute: the value to set, or the arguments of the method.

    Raises:
        CallFailedError: If the verb is unknown, or the argument is none that goes with it.
    """
    argument = _unpacked(call.argument, "argument")
    if call.verb == session_pb2.ATTRIBUTE_VERB_GET:
        if call.argument:
            raise _senseless("reading an attribute takes no argument; leave it empty")
    elif call.verb == session_pb2.ATTRIBUTE_VERB_SET:
        if not call.argument:
            raise _senseless(
                "setting an attribute takes the value as its argument; None is a packed value too"
            )
    elif call.verb == session_pb2.ATTRIBUTE_VERB_CALL:
        if not _is_arguments(argument):
            raise _senseless(
                f"calling a method takes a list of two as its argument, the list of the positional "
                f"arguments and the dict of the keyword arguments, got {_shown(argument)}"
            )
    else:
        known = session_pb2.AttributeVerb.keys()[1:]
        raise _senseless(f"there is no verb {call.verb}; allowed are {', '.join(known)}")
    return argument


def _is_arguments(argument: Any) -> bool:
    if kind_of(argument) is not list or list(map(kind_of, argument)) != [list, dict]:
        return False
    keywords: dict[Any, Any] = argument[1]
    return all(kind_of(name) is str for name in keywords)


def _unpacked(packed: bytes, name: str) -> Any:
    if not packed:
        return None
    try:
        return unpack_argument(packed)
    except PackingError as error:
        raise _senseless(f"the {name} is damaged: {error}") from error


def _checked(seed: Any) -> int | None:
    if seed is None:
        return None
    if kind_of(seed) is int:
        bits = int(seed).bit_length()
        if bits > MAX_SEED_BITS:
            # Python refuses to write so long a number.
            raise _refused(f"reset: {_SEED}; got an int of {bits} bits")
        if seed >= 0:
            return int(seed)
    raise _refused(f"reset: {_SEED}; got {_shown(seed)}")


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {value!r:.80}"


def _refused(reason: str) -> CallFailedError:
    return failed(
        session_pb2.ERROR_CODE_INVALID_ARGUMENT, f"{reason}. The environment was not called"
    )


def _senseless(reason: str) -> CallFailedError:
    return failed(session_pb2.ERROR_CODE_PROTOCOL, reason)
