"""A copy of the repository for each module of tests, put back after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.api_copy import Copy


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.fixture
def copy(pristine: Copy) -> Iterator[Copy]:
    yield pristine
    pristine.restore()
