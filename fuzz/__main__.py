"""`python -m fuzz`: runs targets under the fuzzer, and keeps what it finds."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from fuzz.corpus import CORPUS, ROOT
from fuzz.target import Target
from fuzz.targets.catalogue import TARGETS

# What the fuzzer finds from one run to the next; of this machine only.
_WORK = ROOT / ".fuzz"
_SEED = 1
# Of all wall time that there is: the guard measures processor time.
_HANG_SECONDS = 120
_MOST_MEGABYTES = 1024
_NO_ATHERIS = (
    "atheris is not installed, so nothing is fuzzed; the tests play the corpus all the same. The "
    "extra `fuzz` has it where it has a wheel."
)


@click.command()
@click.option(
    "--target",
    "names",
    multiple=True,
    type=click.Choice(list(TARGETS)),
    help="What is fuzzed; may be given repeatedly. Default: everything.",
)
@click.option(
    "--seconds", default=60, show_default=True, type=click.IntRange(1), help="For how long, each."
)
@click.option(
    "--short", is_flag=True, help="A number of inputs that is the same every time, after a seed."
)
@click.option("--keep", is_flag=True, help="Put into the corpus what reaches other code than it.")
@click.option(
    "--jobs", default=2, show_default=True, type=click.IntRange(1), help="How many at once."
)
def main(names: tuple[str, ...], seconds: int, short: bool, keep: bool, jobs: int) -> None:
    """Feeds decoders with mutations of real traffic.

    The exit code is 1 if one raised what it must not, hung, or took too much; the input stands
    where it says then, and belongs into the corpus.
    """
    if find_spec("atheris") is None:
        if short:
            print(_NO_ATHERIS)
            return
        raise click.ClickException(_NO_ATHERIS)
    targets = [TARGETS[name] for name in names or TARGETS]

    def fuzzed(target: Target) -> bool:
        return _fuzz(target, seconds, short=short, keep=keep)

    with ThreadPoolExecutor(jobs) as pool:
        withstood = list(pool.map(fuzzed, targets))
    failed = [target.name for target, good in zip(targets, withstood, strict=True) if not good]
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


def _fuzz(target: Target, seconds: int, *, short: bool, keep: bool) -> bool:
    """Runs one target; whether it withstood."""
    seeds, found = _WORK / "seeds" / target.name, _WORK / "found" / target.name
    kept = CORPUS / target.name
    for folder in (seeds, found, kept):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (seeds / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    amount = [f"-runs={target.short_runs}", f"-seed={_SEED}"]
    if not short:
        amount = [f"-max_total_time={seconds}"]
    amount.append(f"-artifact_prefix={_WORK}/{target.name}-")
    with TemporaryDirectory(dir=_WORK) as name:
        # The fuzzer writes into the first. A short run keeps nothing: the next one is the same.
        good, output = _loop(target, amount, [Path(name) if short else found, kept, seeds])
    print(f"{target.name}: {_summary(output) if good else output}", flush=True)
    if keep and good:
        _keep(target, kept, seeds, found)
    return good


def _keep(target: Target, kept: Path, seeds: Path, found: Path) -> None:
    """Puts into the corpus the smallest of what was found that reaches other code than the rest."""
    with TemporaryDirectory(dir=_WORK) as name:
        known = Path(name)
        for folder in (seeds, kept):
            shutil.copytree(folder, known, dirs_exist_ok=True)
        before = set(os.listdir(known))
        # How often code is reached is no reason to keep a file.
        good, output = _loop(target, ["-merge=1", "-use_counters=0"], [known, found])
        if not good:
            raise click.ClickException(output)
        for new in set(os.listdir(known)) - before:
            shutil.copy(known / new, kept / new[:16])


def _loop(target: Target, arguments: Sequence[str], folders: Sequence[Path]) -> tuple[bool, str]:
    """Runs the fuzzer in a separate process; whether all was well, and what it said."""
    limits = [f"-timeout={_HANG_SECONDS}", f"-rss_limit_mb={_MOST_MEGABYTES}"]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.loop", target.name, *limits, *arguments, *map(str, folders)],
        cwd=ROOT,
        # The order of sets decides what mutations come out of a seed. Waits are in vain here.
        env={**os.environ, "PYTHONHASHSEED": "0", "RLMESH_SPIN": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode == 0, done.stdout


def _summary(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(("Done", "#"))]
    return " ".join(lines[-1].split()) if lines else "no output"


if __name__ == "__main__":
    main()
