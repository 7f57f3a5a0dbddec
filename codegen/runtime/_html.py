"""What notebooks show of a contract class; the package that describes it registers how.

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

import functools

__all__ = ["html_of"]


@functools.singledispatch
def html_of(record: object) -> str | None:
    """An object as HTML; None where nobody has registered how, and its `repr` is shown."""
    return None
