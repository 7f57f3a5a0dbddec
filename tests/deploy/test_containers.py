"""The commands of the images and of the Compose file: they serve, their checks pass, they end."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from support.deployed import (
    DEPLOY,
    Place,
    documents,
    drain_seconds,
    probe_commands,
    run_program,
    serving_command,
)
from support.health_probes import grpc_health_probe, grpcurl
from support.repository import ROOT

IMAGES = ("env", "model")


def instruction(image: str, name: str) -> list[str]:
    """The list of the last instruction of a name in an image's Dockerfile."""
    text = (DEPLOY / f"docker/{image}.Dockerfile").read_text()
    found: list[str] = json.loads(
        re.findall(rf"^ *{name} (\[.+?\])$", text, re.MULTILINE | re.DOTALL)[-1].replace("\\\n", "")
    )
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_serves_and_passes_its_health_check(image: str) -> None:
    assert instruction(image, "ENTRYPOINT") == ["rlmesh"]
    # CMD stands last, and HEALTHCHECK has one too.
    arguments, check = instruction(image, "CMD"), instruction(image, r"HEALTHCHECK [^\n]*\n *CMD")
    place = Place(paths={"/srv": DEPLOY})
    with serving_command(arguments, place) as server:
        assert run_program(check, place).returncode == 0
        for line in probe_commands("plaintext") if image == "env" else ():
            here = line.replace("5555", str(place.ports[5555]))
            if here.startswith("grpcurl"):
                assert grpcurl(here) == {"status": "SERVING"}
            else:
                assert grpc_health_probe(here) == 0
        server.send(signal.SIGTERM)
        ended = server.end()
    assert (ended.code, ended.err) == (0, "")
    assert run_program([*check[:-1], "0"], place).returncode == 1


def test_what_the_images_copy_makes_a_wheel_with_all_that_it_needs(tmp_path: Path) -> None:
    text = (DEPLOY / "docker/env.Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from|deploy)(.+)$", text, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.abi3.so")
                shutil.copytree(ROOT / source, tmp_path / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, tmp_path / source)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run(
        [*build, "--no-index", "--wheel-dir", str(tmp_path / "out"), "."],
        cwd=tmp_path,
        check=True,
        timeout=100,
    )
    [wheel] = (tmp_path / "out").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"rlmesh/__init__.py", "rlmesh_api/__init__.py"} <= names


def test_the_compose_file_evaluates_a_model_in_an_environment() -> None:
    services = documents("compose.yaml")[0]["services"]
    place = Place(paths={"/srv": DEPLOY})
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(serving_command(services[name]["command"], place))
            for name in ("env", "model")
        }
        for name in servers:
            word, *check = services[name]["healthcheck"]["test"]
            assert word == "CMD"
            assert run_program(check, place).returncode == 0
        evaluate = services["evaluate"]
        # Fewer episodes than in the file.
        fewer = [each.replace("--seeds=20", "--seeds=2") for each in evaluate["command"]]
        done = run_program([*evaluate["entrypoint"], *fewer], place)
        assert done.returncode == 0, done.stderr
        episodes = [json.loads(line) for line in done.stdout.splitlines()]
        assert [each["seed"] for each in episodes] == [0, 1]
        # It balances the pole, which a constant push does for ten steps.
        assert all(each["return"] > 50 for each in episodes)
        for name, server in servers.items():
            grace = float(services[name]["stop_grace_period"].removesuffix("s"))
            assert drain_seconds(services[name]["command"]) + 5 <= grace
            began = time.monotonic()
            server.send(signal.SIGTERM)
            assert server.end(grace).code == 0
            assert time.monotonic() - began < grace
