"""`python -m soak.watching`: watches an environment in a browser, and says whether anything grew.

It needs Linux, the packages of `make view` and a Chromium. An environment of camera images is
stepped at an even pace, in episodes, while its page stands open in a browser without a window.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import shutil
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import click

import rlmesh
from benchmarks.machine import Machine
from benchmarks.peer import peer
from soak import publishing
from soak.serving import serve_watched
from soak.watched import Watched

_SAMPLE_SECONDS = 10.0
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="How long.")
@click.option("--rate", default=100.0, show_default=True, help="Steps a second.")
@click.option("--publish", is_flag=True, help="Write the numbers into docs/.")
def main(minutes: float, rate: float, publish: bool) -> None:
    """Watches for so long, and prints what each process held in the middle and at the end."""
    done = _watch(minutes, rate)
    click.echo(done.page_block())
    if publish:
        publishing.publish_watched(done)


def _watch(minutes: float, rate: float) -> Watched:
    samples: list[dict[str, int]] = []
    steps = itertools.count()
    with peer(serve_watched) as line, _page() as page:
        pid, address, url = line.split()
        server = int(pid)
        (viewer, *_) = _below(server)
        page.goto(url)
        page.wait_for_selector(".card")
        page.evaluate(_COUNT)
        heap = page.context.new_cdp_session(page)
        stop = threading.Event()
        stepping = threading.Thread(target=_step, args=(address, rate, stop, steps))
        stepping.start()
        until = time.monotonic() + 60 * minutes
        try:
            while time.monotonic() < until and stepping.is_alive():
                page.wait_for_timeout(1000 * _SAMPLE_SECONDS)
                heap.send("HeapProfiler.collectGarbage")
                samples.append(
                    {
                        "server": _held(server),
                        "process of `view=`": _held(viewer),
                        "browser, all of its processes": sum(map(_held, _browsers())),
                        "of it, what scripts use": heap.send("Runtime.getHeapUsage")["usedSize"],
                    }
                )
            images = page.evaluate("window.rlmeshImages")
        finally:
            stop.set()
            stepping.join()
    return Watched(Machine.here(), minutes, next(steps), images, samples)


# Counts what is drawn, wherever the page draws it.
_COUNT = """() => {
  window.rlmeshImages = 0;
  const drawn = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...given) {
    window.rlmeshImages += 1;
    return drawn.apply(this, given);
  };
}"""


def _step(address: str, rate: float, stop: threading.Event, steps: Iterator[int]) -> None:
    with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as env:
        over, due = True, time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            due += 1 / rate
            if over:
                env.reset()
            _, _, terminated, truncated, _ = env.step(0)
            over = terminated or truncated
            next(steps)


@contextlib.contextmanager
def _page() -> Generator[Any]:
    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        raise click.ClickException(f"there is no {', '.join(_CHROMIUM)}; install chromium")
    sync_api: Any = importlib.import_module("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser.new_page(viewport={"width": 1280, "height": 900})
        finally:
            browser.close()


def _held(pid: int) -> int:
    """The bytes that a process holds; what several share counts in parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _below(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found = parents.get(pid, [])
    for each in found:
        found.extend(parents.get(each, []))
    return found


def _browsers() -> list[int]:
    found: list[int] = []
    for pid in _below(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if "chrom" in Path(f"/proc/{pid}/comm").read_text():
                found.append(pid)
    return found


if __name__ == "__main__":
    main()
