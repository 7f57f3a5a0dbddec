"""Pickles what a program sends to worker processes of its own."""

from __future__ import annotations

from rlmesh.errors import ArgumentTypeError

__all__ = ["pickled"]


def pickled(value: object, what: str) -> bytes:
    """Pickles what is sent to a worker, functions and classes of the program itself included.

    Args:
        value: Anything.
        what: How messages name it.

    Raises:
        ArgumentTypeError: If it cannot be pickled.
    """
    # Gymnasium depends on cloudpickle. The standard library's pickle sends no lambda and nothing
    # of __main__.
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(value))
    except Exception as error:
        raise ArgumentTypeError(
            f"{what} goes to another process, and cannot be pickled: {type(error).__name__}: "
            f"{error}. Have it make or import what it needs when it is called"
        ) from error
