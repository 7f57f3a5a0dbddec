"""`python -m rlmesh`: the command line."""

from __future__ import annotations

from rlmesh._cli.main import main

if __name__ == "__main__":
    main()
