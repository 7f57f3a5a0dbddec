"""What tests of tokens and TLS share."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.certificates import Certificates, make_certificates


@pytest.fixture(autouse=True)
def _no_token_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLMESH_TOKEN", raising=False)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Fresh ones, which a test may replace."""
    return make_certificates(tmp_path)
