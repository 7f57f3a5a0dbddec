from __future__ import annotations

from pathlib import Path

from codegen.tree import compare, diff, write


def test_stale_missing_and_surplus_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("a")
    (tmp_path / "stale").write_text("b")
    (tmp_path / "surplus").write_text("c")
    differences = compare({"same": "a", "stale": "x", "missing": "y"}, tmp_path)
    assert differences.stale == ("stale",)
    assert differences.missing == ("missing",)
    assert differences.surplus == ("surplus",)


def test_what_python_caches_is_no_surplus(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"")
    assert not compare({}, tmp_path)


def test_writing_leaves_exactly_the_text(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "old.py").write_text("c")
    tree = {"new/a.py": "a\n", "b.md": "b\n"}
    assert write(tree, tmp_path)
    assert not compare(tree, tmp_path)
    assert not (tmp_path / "gone").exists()


def test_writing_again_touches_nothing(tmp_path: Path) -> None:
    tree = {"a.py": "a\n"}
    write(tree, tmp_path)
    before = (tmp_path / "a.py").stat().st_mtime_ns
    assert not write(tree, tmp_path)
    assert (tmp_path / "a.py").stat().st_mtime_ns == before


def test_other_line_ends_are_stale(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"a\r\n")
    assert compare({"a.py": "a\n"}, tmp_path).stale == ("a.py",)


def test_a_long_diff_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old\n" * 200)
    lines = diff({"a": "new\n" * 200}, tmp_path, "a")
    assert len(lines) < 50
    assert lines[-1].endswith("lines more")
