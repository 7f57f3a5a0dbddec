"""The wheel: built, installed alone into a clean environment, and used there.

Once with the oldest release of everything that pyproject.toml allows, once with the newest.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from codegen.protoc import SAFE_PATH
from support.repository import ROOT

HERE = Path(__file__).parent / "wheel"
# What meets the libraries of an environment most: contracts, spaces, calls, sub-environments, and
# steps of every kind. All tests run beside these on the versions of today, so that the newest need
# fewer.
ON_THE_WHEEL = {
    "oldest": (
        "client/test_values.py",
        "transports/test_pipes.py",
        "codec/step/test_wire.py",
        "server/sessions/test_calls.py",
        "spaces/test_round_trip.py",
        "test_contract.py",
        "test_sameness.py",
    ),
    "newest": ("spaces/test_round_trip.py", "test_contract.py"),
}
# Processes of an environment are the same whatever the versions.
NOT_ON_THE_WHEEL = "not from_another_process and not asynchronous"
# The Python for which the oldest releases have no wheels.
NO_OLDEST = (3, 12)

# Two minutes on an idle machine; the other tests take the rest of a busy one.
pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1200)]


def run(*command: str | Path, cwd: Path) -> str:
    """Runs a command in an environment that knows nothing of this repository."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            # Gymnasium before 1.4 samples a Text in the order of a set, another in each process.
            "PYTHONHASHSEED": "0",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def build(source: Path, target: str, into: Path) -> Path:
    """Builds `wheel` or `sdist` with the build tool of this environment; returns the file."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", into, cwd=source)
    [built] = into.iterdir()
    return built


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel in it.

    Attributes:
        versions: Of its libraries: the oldest or the newest.
        python: Its interpreter.
        folder: An empty folder to work in.
        wheel: The wheel that was installed.
        constraints: pip's options that hold versions back.
    """

    versions: str
    python: Path
    folder: Path
    wheel: Path
    constraints: tuple[str, ...]

    def install(self, requirement: str) -> None:
        pip = (sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet")
        # What is imported is compiled then, a tenth of what is installed.
        options = ("--only-binary=:all:", "--no-compile", *self.constraints)
        run(*pip, *options, requirement, cwd=self.folder)

    def borrow(self, extra: str) -> None:
        """Links, from the environment of this process, what an extra of the wheel brings.

        Its versions are pinned, and this environment has them. What the wheel has brought stays.
        """
        packages = self.python.parents[1] / f"lib/{PYTHON}/site-packages"
        for distribution in needed("rlmesh", extra):
            for file in distribution.files or ():
                top = file.parts[0]
                if top not in {"..", "__pycache__"} and not (packages / top).exists():
                    (packages / top).symlink_to(Path(str(distribution.locate_file(top))))


PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def needed(name: str, extra: str) -> list[importlib.metadata.Distribution]:
    """What an extra of a distribution needs, and what that needs in turn."""
    found: dict[str, importlib.metadata.Distribution] = {}
    asked = [(name, extra)]
    for each, its_extra in asked:
        distribution = importlib.metadata.distribution(each)
        for text in distribution.requires or ():
            requirement = Requirement(text)
            with_extra, without = (
                requirement.marker is None or requirement.marker.evaluate({"extra": wanted})
                for wanted in (its_extra, "")
            )
            # Of the distribution itself, what the extra adds.
            if not with_extra or (each == name and without):
                continue
            key = canonicalize_name(requirement.name)
            if key not in found:
                found[key] = importlib.metadata.distribution(key)
                asked.append((key, ""))
    return [*found.values()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("built"))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            "oldest",
            marks=[
                pytest.mark.xdist_group("oldest"),
                pytest.mark.skipif(
                    sys.version_info >= NO_OLDEST,
                    reason="the oldest releases have wheels for the oldest Python only",
                ),
            ],
        ),
        pytest.param("newest", marks=pytest.mark.xdist_group("newest")),
    ],
)
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheel: Path
) -> Environment:
    folder = tmp_path_factory.mktemp(request.param)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    constraints: tuple[str, ...] = ()
    if request.param == "oldest":
        lowest = run(sys.executable, ROOT / ".ci/lowest.py", cwd=folder)
        (folder / "oldest.txt").write_text(lowest)
        constraints = ("-c", str(folder / "oldest.txt"))
    (folder / "work").mkdir()
    python = folder / "venv/bin/python"
    made = Environment(request.param, python, folder / "work", wheel, constraints)
    made.install(str(wheel))
    return made


@pytest.mark.xdist_group("newest")
def test_both_packages_are_in_the_wheel_with_their_types_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"rlmesh/py.typed", "rlmesh_api/py.typed"} <= set(names)
    assert "rlmesh_api/contract.schema.json" in names
    page = {"index.html", "view.css", "view.js", "card.js", "play.js", "plot.js", "icon.svg"}
    assert {f"rlmesh/view/static/{name}" for name in page} <= set(names)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rlmesh", "rlmesh_api"}


@pytest.mark.xdist_group("newest")
def test_the_source_distribution_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    archive = build(ROOT, "sdist", tmp_path / "sdist")
    shutil.unpack_archive(archive, tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    again = build(unpacked, "wheel", tmp_path / "wheel")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_wheel_alone_serves_and_drives(environment: Environment) -> None:
    run(environment.python, "-W", "error", HERE / "drive.py", cwd=environment.folder)


def test_the_command_line_is_installed(environment: Environment) -> None:
    run(environment.python.with_name("rlmesh"), "--help", cwd=environment.folder)


@pytest.mark.parametrize(
    "checker", [["mypy", "--strict", "--python-executable"], ["pyright", "--pythonpath"]]
)
def test_a_type_checker_sees_the_types(environment: Environment, checker: list[str]) -> None:
    if environment.versions == "newest" and sys.version_info < NO_OLDEST:
        pytest.skip("`make types` checks with the newest releases; the oldest are checked here")
    shutil.copy(HERE / "types_of_a_user.py", environment.folder)
    python = str(environment.python)
    run(
        sys.executable,
        SAFE_PATH,
        "-m",
        *checker,
        python,
        "types_of_a_user.py",
        cwd=environment.folder,
    )


def test_the_tests_pass_on_the_wheel(environment: Environment, tmp_path: Path) -> None:
    """Also shows that the package imports nothing of this repository that is not in the wheel."""
    environment.borrow("test")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    chosen = [f"tests/{name}" for name in ON_THE_WHEEL[environment.versions]]
    chosen += ["-k", NOT_ON_THE_WHEEL]
    # One process: the other tests run beside this one.
    run(environment.python, SAFE_PATH, "-m", "pytest", "-q", "-n0", *chosen, cwd=tmp_path)
