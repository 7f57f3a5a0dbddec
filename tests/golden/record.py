"""Records the golden bytes of this version; `make golden` runs it, once for a release."""

from __future__ import annotations

import json

import rlmesh
from support.golden import FOLDER, recording

if __name__ == "__main__":
    path = FOLDER / f"{rlmesh.__version__}.json"
    path.write_text(json.dumps(recording(), indent=1) + "\n")
