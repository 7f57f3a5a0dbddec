"""`python -m rlmesh`: the command line."""

from __future__ import annotations

import gc

if __name__ == "__main__":
    # What is imported stays until the end of the process. To walk through it again and again is a
    # sixth of the time that the imports take, and later makes one step in many slow.
    gc.disable()

from rlmesh._cli.main import main

if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    main()
