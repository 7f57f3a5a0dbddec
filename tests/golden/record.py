"""Records the golden bytes of this version; `make golden` runs it, once for a release."""

from __future__ import annotations

import json
import shutil

import rlmesh
from support import golden_recordings
from support.golden import FOLDER, recording

if __name__ == "__main__":
    path = FOLDER / f"{rlmesh.__version__}.json"
    path.write_text(json.dumps(recording(), indent=1) + "\n")
    folder = golden_recordings.RECORDINGS / rlmesh.__version__
    shutil.rmtree(folder, ignore_errors=True)
    golden_recordings.write(folder)
    for each in folder.glob("*.mcap"):
        text = json.dumps(golden_recordings.contents(each), indent=1)
        each.with_suffix(".json").write_text(text + "\n")
