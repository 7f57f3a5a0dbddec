"""What each server of a fleet says that it is doing."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rlmesh.client.probing import fetch_status
from rlmesh.errors import EndpointError
from rlmesh.ray.servers import Servers, ServerStatus
from rlmesh.security import Credentials

# How long a server may take to say what it is doing, and how many are asked at once.
_STATUS_SECONDS, _MOST_THREADS = 2.0, 16


def states_of(servers: Servers, credentials: Credentials) -> tuple[ServerStatus, ...]:
    """Asks every server what it is doing; `steps` are the calls of the sessions that it has now.

    Args:
        servers: The servers.
        credentials: What to show them.

    Raises:
        StateError: If they were ended.
    """
    with ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="rlmesh-fleet-status") as pool:
        return tuple(pool.map(partial(_asked, credentials=credentials), servers.status()))


def _asked(row: ServerStatus, credentials: Credentials) -> ServerStatus:
    if not row.address:
        return row
    try:
        status = fetch_status(row.address, _STATUS_SECONDS, credentials)
    except EndpointError:
        return dataclasses.replace(row, state="lost")
    calls = sum(session.calls for session in status.sessions)
    return dataclasses.replace(row, state=status.state, steps=calls)
