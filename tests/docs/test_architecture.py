"""The architecture page names what is in the code."""

from __future__ import annotations

import ast
import re

from support.pages import code, tables
from support.repository import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
TABLES = tables("docs/architecture.md")
SOURCES = {path: path.read_text() for path in sorted((ROOT / "rlmesh").rglob("*.py"))}


def test_every_folder_of_the_page_exists() -> None:
    folders = [code(folder)[0] for folder, _ in TABLES["The parts: Folder"]]
    assert folders
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_every_thread_of_the_package_is_listed() -> None:
    rows = TABLES["Which thread runs what: Thread"]
    listed = {name for cell, *_ in rows for name in code(cell) if name.startswith("rlmesh-")}
    made = {
        keyword.value.value
        for text in SOURCES.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "threading.Thread"
        for keyword in node.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }
    called = {
        node.args[0].value
        for text in SOURCES.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "CallThread"
        if isinstance(node.args[0], ast.Constant)
    }
    pooled = {
        keyword.value.value
        for text in SOURCES.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ThreadPoolExecutor"
        for keyword in node.keywords
        if keyword.arg == "thread_name_prefix" and isinstance(keyword.value, ast.Constant)
    }
    assert called
    assert pooled
    assert listed == made | called | pooled


def locks(text: str) -> set[str]:
    """The attributes of classes that hold a lock under which fields are guarded."""
    return {
        f"{cls.name}.{node.targets[0].attr}"
        for cls in ast.walk(ast.parse(text))
        if isinstance(cls, ast.ClassDef)
        for node in ast.walk(cls)
        if isinstance(node, ast.Assign)
        and ast.unparse(node.value) == "threading.Lock()"
        and isinstance(node.targets[0], ast.Attribute)
        and node.targets[0].attr.endswith("_lock")
    }


def test_every_lock_of_the_package_is_listed() -> None:
    listed = {code(cell)[0] for cell, _ in TABLES["Which lock guards what: Lock"]}
    assert listed == set().union(*map(locks, SOURCES.values()))


def test_the_glossary_has_at_most_twenty_words() -> None:
    glossary = PAGE.partition("## Glossary\n")[2]
    words = re.findall(r"^(?!: )\S.*(?=\n: )", glossary, re.MULTILINE)
    assert 10 < len(words) <= 20
    assert words == sorted(words)


def stations(text: str) -> set[int]:
    """The numbers in comments like `# Station 6 of a step` and `# Stations 1 and 12 of a step`."""
    return {
        int(number)
        for numbers in re.findall(r"# Stations? ([\d, and]+) of a step\b", text)
        for number in re.findall(r"\d+", numbers)
    }


def test_the_stations_of_the_page_are_comments_in_the_code() -> None:
    listed = PAGE.partition("## One step\n")[2].partition("\n## ")[0]
    numbers = {int(number) for number in re.findall(r"^(\d+)\. ", listed, re.MULTILINE)}
    assert numbers == set(range(1, 13))
    assert set().union(*map(stations, SOURCES.values())) == numbers
