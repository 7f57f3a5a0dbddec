"""Writes a Python module for one environment: its types, and a client that carries them."""

from __future__ import annotations

from rlmesh.typegen.module import render_module

__all__ = ["render_module"]
