"""Writes a Python module for one environment: its types, and a client that carries them.

module   the whole module: `render_module`
types    an alias or a TypedDict for each space that needs one
leaves   the types of values that hold no other values
names    names and texts in Python code, as formatters write them
"""

from __future__ import annotations

from rlmesh.typegen.module import render_module

__all__ = ["render_module"]
