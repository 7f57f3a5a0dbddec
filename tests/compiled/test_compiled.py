"""Whether the parts of a step run in C: built where there is a compiler, and switched off."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlmesh import compiled
from rlmesh.compiled import building


def described(**variables: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", "from rlmesh import compiled; print(compiled.describe())"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_a_variable_switches_it_off() -> None:
    assert described(RLMESH_COMPILED="0") == "pure Python (RLMESH_COMPILED=0)"


@pytest.mark.skipif(compiled.step is None, reason="it is not built here")
def test_it_runs_where_it_is_built() -> None:
    assert described(RLMESH_COMPILED="1") == "compiled"


def copy_of_sources(folder: Path) -> None:
    for source in building.SOURCES:
        (folder / source.name).write_bytes(source.read_bytes())


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has the sources and the binary stand in another folder."""
    copy_of_sources(tmp_path)
    sources = tuple(tmp_path / source.name for source in building.SOURCES)
    monkeypatch.setattr(building, "SOURCES", sources)
    monkeypatch.setattr(building, "BINARY", tmp_path / building.BINARY.name)
    return tmp_path


def test_without_a_compiler_nothing_is_built_and_the_reason_is_named(
    apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", {"CC": "no-such-cc"}.get)
    assert "no C compiler" in building.build()
    assert not list(apart.glob("*.so*"))


@pytest.mark.skipif(compiled.step is None, reason="it is not built here")
def test_several_may_build_at_once(apart: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: building.build(), range(3))) == [""] * 3
    assert [path.name for path in apart.glob("_step*")] == [building.BINARY.name]


def test_where_the_compiler_fails_nothing_is_left(apart: Path) -> None:
    (apart / "step.c").write_text("#error out of order\n")
    assert building.build()
    assert not list(apart.glob("_step*"))
