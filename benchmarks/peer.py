"""The other process of a contender: `python -m benchmarks.peer serve|bare WORKLOAD ADDRESS|METHOD`."""

from __future__ import annotations

import sys

from benchmarks.contenders import serve, serve_bare

if __name__ == "__main__":
    kind, workload, detail = sys.argv[1:]
    {"serve": serve, "bare": serve_bare}[kind](workload, detail)
