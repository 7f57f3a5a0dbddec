"""What the tests of deploy/ have in common."""

from __future__ import annotations

import pytest

from support.deployed import DEPLOY


@pytest.fixture(autouse=True)
def _working_folder_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """policies.py is on the path, as in an image whose working folder is /srv."""
    monkeypatch.setenv("PYTHONPATH", str(DEPLOY))
    for name in ("NOTIFY_SOCKET", "RLMESH_ADDRESS", "RLMESH_PORT", "RLMESH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
