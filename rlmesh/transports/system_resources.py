"""What the operating system may refuse: a clear error, before anything has begun that needs it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator

from rlmesh.errors import RlmeshError, SystemResourceError

MIN_FREE_DESCRIPTORS = 12
"""How many descriptors must be free to construct or start a server, and to connect.

gRPC ends the process where it finds none while it sets itself up, and says nothing to Python. It
needs five, a connection three, and a transport two.
"""

_REMEDIES = {
    errno.EMFILE: "close what this process does not need, or raise its limit (ulimit -n)",
    errno.ENFILE: "the whole machine has too many files open",
    errno.ENOMEM: "free some memory",
    errno.ENOBUFS: "free some memory",
}


def check_descriptors(doing: str) -> None:
    """Checks that `MIN_FREE_DESCRIPTORS` descriptors are free.

    Args:
        doing: What needs them, for the message.

    Raises:
        SystemResourceError: If they are not.
    """
    with contextlib.ExitStack() as opened:
        try:
            for _ in range(MIN_FREE_DESCRIPTORS):
                descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
                opened.callback(os.close, descriptor)
        except OSError as error:
            raise _refused(
                f"{doing}: {MIN_FREE_DESCRIPTORS} descriptors must be free, and the operating "
                f"system refuses them",
                error,
            ) from error


@contextlib.contextmanager
def system_resources(doing: str) -> Generator[None]:
    """Raises what the operating system refuses to the block as an error of RLMesh.

    Args:
        doing: What the block does, for the message.

    Raises:
        SystemResourceError: In place of an `OSError` that is no error of RLMesh.
    """
    try:
        yield
    except RlmeshError:
        raise
    except OSError as error:
        raise _refused(f"{doing}: the operating system refuses what is needed", error) from error


def _refused(what: str, error: OSError) -> SystemResourceError:
    remedy = _REMEDIES.get(error.errno or 0, "mend that, and try again")
    return SystemResourceError(f"{what} ({error.strerror or error}); {remedy}")
