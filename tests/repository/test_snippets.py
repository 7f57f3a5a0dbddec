"""Every snippet of the documentation runs; `support.snippets` says what an author needs to know."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from support.repository import ROOT
from support.snippets import Stage, snippets

PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "generated/docs/**/*.md")
    for page in ROOT.glob(pattern)
    if snippets(page)
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_snippets_of_a_page_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="page") as name, Stage(Path(name)) as stage:
        with monkeypatch.context() as patch:
            patch.chdir(name)
            for snippet in snippets(page):
                stage.play(snippet)
        stage.stop()


def page_with(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


def play(page: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="page") as name, Stage(Path(name)) as stage:
        for snippet in snippets(page):
            stage.play(snippet)
        stage.stop()


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1\n```\n\n```python\nassert x == 2\n```",
        "```pycon\n>>> 1 + 1\n3\n```",
        "```bash\nfalse\n```",
        "```bash\nmake nothing-of-that-name\n```",
        "```console\n$ echo one; echo two\none\nthree\n```",
        "1. In a list:\n\n   ```python\n   assert False\n   ```",
    ],
)
def test_a_wrong_snippet_fails(tmp_path: Path, text: str) -> None:
    with pytest.raises(AssertionError):
        play(page_with(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1\n```\n\n```python\nassert x == 1\n```",
        "```pycon\n>>> 1 + 1\n2\n```",
        "```bash\nmake demo\n```",
        "```console\n$ echo one; echo 5555\none\n...\n```",
        "```toml\nthis is left alone\n```",
        "<!-- snippet: skip, it asks for a network -->\n```bash\nfalse\n```",
    ],
)
def test_a_right_snippet_passes(tmp_path: Path, text: str) -> None:
    play(page_with(tmp_path, text))


@pytest.mark.parametrize("comment", ["skip", "backgroundd", "background, why", "skip,"])
def test_an_unknown_comment_is_refused(tmp_path: Path, comment: str) -> None:
    page = page_with(tmp_path, f"<!-- snippet: {comment} -->\n```python\n```")
    with pytest.raises(ValueError, match=r"page\.md:1: expected <!-- snippet"):
        snippets(page)


@pytest.mark.parametrize("name", ["README.md", "RELEASING.md", "SECURITY.md", "examples/README.md"])
def test_relative_links_of_a_front_page_lead_somewhere(name: str) -> None:
    """The site's builder checks the links of the other pages."""
    page = ROOT / name
    tokens = MarkdownIt("commonmark").parse(page.read_text())
    targets = [
        str(child.attrs.get("href") or child.attrs.get("src"))
        for token in tokens
        for child in token.children or []
        if child.type in ("link_open", "image")
    ]
    missing = [
        target
        for target in targets
        if "://" not in target and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not missing
