"""Parts of a step in C, where a compiler was there when RLMesh was built.

`step` is the extension, or None: then the same parts run in Python, which is slower and does
exactly the same. `RLMESH_COMPILED=0` has a process use Python although the extension is there.

messages.c  a step's request and the result of a single environment, as bytes
leaves.c    slabs of a space that is one small numeric leaf
check.c     the fast check of small leaves
plain.c     a plain step: the call of the environment, its result, and its answer
infos.c     whether MessagePack's packer writes an info by itself
segment.c   one side of a segment of shared memory: posts, looks, headers
step.c      the module; `common.h` has what the parts share
interface   what it offers, as types
building    compiles them; the build of a wheel does so, and `python -m rlmesh.compiled`
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import cast

from rlmesh.compiled.interface import Step

__all__ = ["describe", "step"]


def _load() -> tuple[Step | None, str]:
    """The extension, or None and why."""
    if os.environ.get("RLMESH_COMPILED") == "0":
        return None, "RLMESH_COMPILED=0"
    try:
        found = cast("Step", importlib.import_module("rlmesh.compiled._step"))
    except ModuleNotFoundError:
        return None, "not built"
    except ImportError as error:
        return None, str(error)
    # In a checkout: a binary of other sources may take other arguments. Wheels have no sources.
    if Path(__file__).with_name("step.c").exists():
        from rlmesh.compiled.building import digest

        if digest() != found.DIGEST:
            return None, "built from other sources; run python -m rlmesh.compiled"
    return found, ""


_found, _reason = _load()

step: Step | None = _found
"""The extension; None where this process runs without it."""


def describe() -> str:
    """Which runs here, in a few words: `compiled`, or `pure Python (...)` and why."""
    return "compiled" if step is not None else f"pure Python ({_reason})"
