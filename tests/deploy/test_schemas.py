"""Each file in deploy/ is what the linter or the schema of its kind says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from support.deployed import DEPLOY, REASON, document, documents, drain_seconds
from support.repository import ROOT

MANIFESTS = sorted(str(path.relative_to(DEPLOY)) for path in DEPLOY.glob("kubernetes/*.yaml"))
DOCKERFILES = sorted(DEPLOY.glob("docker/*.Dockerfile"))
UNITS = sorted(DEPLOY.glob("systemd/*"))
SCRIPTS = sorted(DEPLOY.glob("slurm/*"))
# The oldest that has all that the manifests use: sidecars, preStop with sleep, gRPC probes.
KUBERNETES = ("1.30", "1.35")


def tool(name: str) -> str:
    """A linter that stands beside this interpreter."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is missing; {REASON}")
    return found


def lint(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing_in_a_dockerfile(path: Path, tmp_path: Path) -> None:
    hadolint = tool("hadolint")
    done = lint(hadolint, "--failure-threshold", "style", path)
    assert done.returncode == 0, done.stdout + done.stderr
    damaged = tmp_path / "Dockerfile"
    damaged.write_text(path.read_text() + "\nRUN cd /tmp && sudo true\n")
    assert lint(hadolint, damaged).returncode == 1


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_small_and_does_not_run_as_root(path: Path) -> None:
    final = path.read_text().rpartition("\nFROM ")[2]
    assert re.match(r"python:\$\{PYTHON\}-slim-", final)
    assert "\nUSER 10001:10001\n" in final
    # The compiler, the sources and pip's cache stay behind.
    assert re.findall(r"^COPY --from=build (\S+)", final, re.MULTILINE) == ["/venv"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_a_dockerfile_copies_is_there_and_not_ignored(path: Path) -> None:
    lines = re.findall(r"^COPY (?!--from)(.+)$", path.read_text(), re.MULTILINE)
    copied = [source for line in lines for source in line.split()[:-1]]
    assert "rlmesh" in copied
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in let_through), source


def compose_check(path: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("check_jsonschema", reason=REASON)
    schema = ("--builtin-schema", "vendor.compose-spec")
    return lint(sys.executable, "-P", "-m", "check_jsonschema", *schema, path)


def test_the_compose_file_is_what_the_schema_of_compose_says(tmp_path: Path) -> None:
    path = DEPLOY / "compose.yaml"
    done = compose_check(path)
    assert done.returncode == 0, done.stdout
    damaged = tmp_path / "compose.yaml"
    damaged.write_text(path.read_text().replace("stop_grace_period", "stop_grace_periods"))
    assert compose_check(damaged).returncode == 1


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("path", MANIFESTS)
def test_a_manifest_is_what_the_schemas_of_kubernetes_say(path: str, version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason=REASON)
    for each in documents(path):
        validator.validate(each, version, strict=True)
        # The schema refuses what it does not know.
        with pytest.raises(validator.ValidationError):
            validator.validate({**each, "nothing_of_that_name": 1}, version, strict=True)


def pods() -> list[Any]:
    kinds = [("env", "Deployment"), ("model", "Deployment"), ("evaluation", "Job")]
    return [document(f"kubernetes/{name}.yaml", kind)["spec"]["template"] for name, kind in kinds]


def test_a_pod_gives_its_servers_the_time_that_they_may_take_to_end() -> None:
    for pod in pods():
        spec = pod["spec"]
        servers = [
            each
            for each in (*spec["containers"], *spec.get("initContainers", ()))
            if "command" not in each
        ]
        assert servers
        for server in servers:
            before = server.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
            needed = before.get("seconds", 0) + drain_seconds(server["args"])
            assert needed + 5 <= spec["terminationGracePeriodSeconds"]


def test_a_pod_is_not_root_has_limits_and_mounts_what_it_reads() -> None:
    for pod in pods():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        volumes = {each["name"] for each in spec["volumes"]}
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {*container["resources"]["limits"]} == {"cpu", "memory"}
            mounts = container["volumeMounts"]
            assert {each["name"] for each in mounts} <= volumes
            for argument in container["args"]:
                path = re.search(r"=(/.+)", argument)
                if path:
                    assert any(path[1].startswith(each["mountPath"]) for each in mounts), path[1]


def test_probes_and_services_use_the_ports_that_a_server_has() -> None:
    for pod in pods():
        spec = pod["spec"]
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            listens = {int(port) for port in re.findall(r":(\d+)", " ".join(container["args"]))}
            probes = [value for key, value in container.items() if key.endswith("Probe")]
            used = {probe["grpc"]["port"] for probe in probes}
            used |= {port["containerPort"] for port in container.get("ports", ())}
            assert used <= listens
    for name in ("env", "model"):
        service = document(f"kubernetes/{name}.yaml", "Service")["spec"]
        deployment = document(f"kubernetes/{name}.yaml", "Deployment")["spec"]
        [container] = deployment["template"]["spec"]["containers"]
        assert service["selector"] == deployment["template"]["metadata"]["labels"]
        named = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert all(named[each["targetPort"]] == each["port"] for each in service["ports"])
    autoscaler = document("kubernetes/model.yaml", "HorizontalPodAutoscaler")["spec"]
    target = document("kubernetes/model.yaml", "Deployment")
    assert autoscaler["scaleTargetRef"]["name"] == target["metadata"]["name"]
    # Else each `kubectl apply` would undo what the autoscaler did.
    assert "replicas" not in target["spec"]


def test_systemd_verifies_the_units_and_finds_the_sandbox_tight(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is missing on this machine")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/rlmesh/bin/rlmesh", "/bin/true")
        if not Path("/lib/systemd/systemd-socket-proxyd").exists():
            text = text.replace("/lib/systemd/systemd-socket-proxyd", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    verify = [analyze, "verify", "--man=no"]
    done = lint(*verify, *(tmp_path / unit.name for unit in UNITS))
    assert (done.returncode, done.stderr) == (0, "")
    service = tmp_path / "rlmesh-env.service"
    offline = [analyze, "security", "--offline=yes", "--no-pager"]
    done = lint(*offline, "--threshold=20", service)
    assert done.returncode == 0, done.stdout.splitlines()[-1]
    service.write_text(service.read_text().replace("KillMode=", "KillModes="))
    assert "KillModes" in lint(*verify, service).stderr


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing_in_a_batch_script(path: Path, tmp_path: Path) -> None:
    shellcheck = tool("shellcheck")
    done = lint(shellcheck, "--norc", "--enable=quote-safe-variables", path)
    assert done.returncode == 0, done.stdout
    damaged = tmp_path / "script"
    damaged.write_text(path.read_text() + "\nrm -r $undefined\n")
    assert lint(shellcheck, damaged).returncode == 1
