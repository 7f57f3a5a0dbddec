"""Tests in a real browser, which `make view` runs.

Where Playwright is missing, as in the virtual environment of `make test`, none of them is
collected. Where it is and there is no Chromium, they are skipped, and say why.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Generator
from typing import Any

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Generator[Any]:
    """Chromium without a window, that of the system."""
    found = os.environ.get("RLMESH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(
            f"there is no {', '.join(NAMES)}; install chromium, or name it in RLMESH_CHROMIUM"
        )
    sync_api: Any = importlib.import_module("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        # A container has no sandbox, and little shared memory.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium: Any) -> Generator[Any]:
    """Makes pages; fails where one has written an error on its console."""
    contexts: list[Any] = []
    problems: list[str] = []

    def make(**settings: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                problems.append(message.text)
                if message.type == "error" and "WebSocket connection" not in message.text
                else None
            ),
        )
        return page

    yield make
    for context in contexts:
        context.close()
    assert not problems
