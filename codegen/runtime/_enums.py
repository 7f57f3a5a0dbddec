"""The enum whose members are texts, for Python 3.10, whose `enum` has none.

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

import sys

__all__ = ["StrEnum"]

if sys.version_info < (3, 11):
    import enum

    class StrEnum(str, enum.Enum):
        """An enum whose members are texts, in `str` and `format` too."""

        def __str__(self) -> str:
            return str.__str__(self)

        def __format__(self, format_spec: str) -> str:
            return str.__format__(self, format_spec)

else:
    from enum import StrEnum
