"""The error for an attribute that the server does not expose."""

from __future__ import annotations

from collections.abc import Collection

from rlmesh.errors import UnexposedAttributeError
from rlmesh.foreign_text import one_line


def unexposed(name: str, exposed: Collection[str], more: str = "") -> UnexposedAttributeError:
    """The error for a name that is not exposed.

    Args:
        name: The name.
        exposed: The names that are exposed.
        more: What to say at the end.
    """
    known = one_line(", ".join(sorted(exposed))) or "none"
    return UnexposedAttributeError(
        f"the server exposes no attribute {one_line(repr(name))} (exposed: {known}); name it in "
        f"EnvServer(..., expose=(...)){more}"
    )
