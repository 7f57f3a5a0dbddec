"""What holds for every test of the command line."""

from __future__ import annotations

import pytest

VARIABLES = (
    "COLUMNS",
    "FORCE_COLOR",
    "NO_COLOR",
    "RLMESH_ADDRESS",
    "RLMESH_TRANSPORT",
    "RLMESH_PORT",
    "RLMESH_TOKEN",
    "RLMESH_VALIDATION_POLICY",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
