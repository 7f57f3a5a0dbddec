# The part of Matplotlib that benchmarks/ and soak/ use, so that its types are checked where it is
# not installed. Not shipped.
from contextlib import AbstractContextManager
from typing import Any

def rc_context(rc: dict[str, Any]) -> AbstractContextManager[None]: ...
