"""A cell of a notebook that connects, run again: its former client gives its place up.

    env = rlmesh.RemoteEnv("tcp://127.0.0.1:5555")

While the second run makes its client, `env` still is the client of the first run and holds the
environment, though the assignment is about to drop it. So where every place is taken, a client
looks for the one that it follows: the value of the name that the statement in progress assigns to,
if an earlier run of top-level code made it for the same address.
"""

from __future__ import annotations

import dataclasses
import dis
import gc
import inspect
import math
import weakref
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeAlias, TypeVar, cast

import gymnasium
from gymnasium.vector import VectorEnv

from rlmesh.client.channel import dialable
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient
from rlmesh.client.multi_endpoint import MultiEndpoint
from rlmesh.codec.infos.type_guards import is_row
from rlmesh.errors import EndpointBusyError

Driver: TypeAlias = EnvClient | MultiEndpoint
DriverType = TypeVar("DriverType", bound=Driver)

# The code at top level that made each; `close` of a dropped client is what keeps it here at most.
_makers: weakref.WeakKeyDictionary[Driver, Callable[[], CodeType | None]]
_makers = weakref.WeakKeyDictionary()

# Besides jumps, what ends the expression that is assigned: it is dropped or returned instead.
_ENDS = ("POP_TOP", "RETURN_VALUE", "RETURN_CONST", "RETURN_GENERATOR")


def connect_or_follow(
    connect: Callable[[EnvConnectOptions], DriverType], address: Any, options: EnvConnectOptions
) -> DriverType:
    """Connects; where every place is taken, a client of this process that is dropped gives way.

    Args:
        connect: Connects with the options that it is given.
        address: The address or the addresses that it connects to.
        options: How to connect.

    Returns:
        What `connect` returned.

    Raises:
        RlmeshError: What `connect` raises.
    """
    frame = _top_level()
    try:
        code = None if frame is None else frame.f_code
        former = None if frame is None else _former(frame, address)
    finally:
        del frame
    if former is None:
        made = _connect_or_collect(connect, address, options)
    else:
        made = _follow(former, connect, options)
    _makers[made] = _nothing if code is None else weakref.ref(code)
    return made


def _follow(
    former: Driver,
    connect: Callable[[EnvConnectOptions], DriverType],
    options: EnvConnectOptions,
) -> DriverType:
    """Connects, and has the former client give way where no other place is free."""
    try:
        return connect(dataclasses.replace(options, busy_timeout=0.0))
    except EndpointBusyError:
        former.give_way()
    # A call that is in progress ends first.
    longest = [
        math.inf if seconds is None else seconds
        for seconds in (options.busy_timeout, options.connect_timeout)
    ]
    busy_timeout = None if math.inf in longest else max(longest)
    return connect(dataclasses.replace(options, busy_timeout=busy_timeout))


def _connect_or_collect(
    connect: Callable[[EnvConnectOptions], DriverType], address: Any, options: EnvConnectOptions
) -> DriverType:
    """Connects, after another look for garbage where that has a place."""
    try:
        return connect(options)
    except EndpointBusyError:
        # A client that nobody can use any more, and which a cycle of references keeps.
        before = _count_open(address)
        if before:
            gc.collect()
        if _count_open(address) == before:
            raise
    return connect(options)


def _top_level() -> FrameType | None:
    """The innermost frame of code at top level: of a cell, a prompt or a module."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_flags & inspect.CO_NEWLOCALS:
        frame = frame.f_back
    return frame


def _former(frame: FrameType, address: Any) -> Driver | None:
    """The client of an address that an earlier run assigned to the name that is assigned to now."""
    if not _makers:
        return None
    name = _assigned_name(frame)
    value = None if name is None else frame.f_locals.get(name, frame.f_globals.get(name))
    if not isinstance(value, (gymnasium.Env, VectorEnv)):
        return None
    client: object = cast("Any", value).unwrapped
    driver = vars(client).get("_env_client")
    if not isinstance(driver, (EnvClient, MultiEndpoint)) or driver.closed:
        return None
    made_by = _makers.get(driver)
    # A loop that assigns to one name keeps its clients elsewhere, or would not make several.
    if made_by is None or made_by() is frame.f_code:
        return None
    return driver if _names(driver) == _dialled(address) else None


def _assigned_name(frame: FrameType) -> str | None:
    """The name that the statement which a frame executes assigns its value to."""
    for instruction in dis.get_instructions(frame.f_code):
        if instruction.offset <= frame.f_lasti:
            continue
        if instruction.opname in ("STORE_NAME", "STORE_GLOBAL"):
            return str(instruction.argval)
        if instruction.opname in _ENDS or "JUMP" in instruction.opname:
            return None
    return None


def _names(driver: Driver) -> set[str]:
    return set(driver.address) if isinstance(driver, MultiEndpoint) else {driver.address}


def _dialled(address: Any) -> set[str]:
    return {str(dialable(one)) for one in (address if is_row(address) else [address])}


def _count_open(address: Any) -> int:
    wanted = _dialled(address)
    return sum(not driver.closed and not wanted.isdisjoint(_names(driver)) for driver in _makers)


def _nothing() -> None:
    """What stands for code that no top-level frame made."""
