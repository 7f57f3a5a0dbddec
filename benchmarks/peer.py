"""The other process of a contender: `python -m benchmarks.peer serve|bare WORKLOAD [METHOD]`."""

from __future__ import annotations

import sys

from benchmarks.contenders import serve, serve_bare

if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if kind == "serve":
        serve(*arguments)
    else:
        serve_bare(*arguments)
