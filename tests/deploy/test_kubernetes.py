"""The commands of the manifests: servers with the secrets, their probes, and an evaluation."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import rlmesh
from support.certificates import make_certificates
from support.deployed import Place, document, probe_commands, run_program, serving_command
from support.health_probes import grpc_health_probe, grpcurl, kubelet_probe
from support.processes import Command
from support.repository import ROOT

TOKEN = "a-token-of-this-test"
DOCUMENTED_AUTHORITY = "/tmp/ca.pem"  # noqa: S108 - in the documentation, not on this machine


def container(name: str, kind: str, part: str = "containers") -> dict[str, Any]:
    [found] = document(f"kubernetes/{name}.yaml", kind)["spec"]["template"]["spec"][part]
    return dict(found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The secrets as they are mounted."""
    folder = tmp_path_factory.mktemp("secrets")
    certificates = make_certificates(folder)
    (folder / "tls").mkdir()
    for key, made in (("tls.crt", "server.pem"), ("tls.key", "server.key"), ("ca.crt", "ca.pem")):
        (folder / "tls" / key).write_bytes(Path(certificates.path(made)).read_bytes())
    (folder / "token").mkdir()
    (folder / "token/token").write_text(f"{TOKEN}\n")
    mounts = {"token": "token", "tls": "tls", "ca": "tls"}
    return Place(paths={f"/run/secrets/rlmesh/{key}": folder / at for key, at in mounts.items()})


@pytest.fixture(scope="module")
def env(place: Place) -> Generator[Command]:
    """The server of env.yaml; its health is answered at the port 5556 of the place."""
    with serving_command(container("env", "Deployment")["args"], place) as server:
        yield server


def test_the_probes_of_an_environment_pass_without_token_and_certificate(
    env: Command, place: Place
) -> None:
    deployed = container("env", "Deployment")
    probes = {name: probe for name, probe in deployed.items() if name.endswith("Probe")}
    assert {*probes} == {"startupProbe", "readinessProbe", "livenessProbe"}
    assert all(kubelet_probe(probe, place.ports) for probe in probes.values())


def test_at_the_port_for_probes_nothing_but_health_is_answered(env: Command, place: Place) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{place.ports[5556]}") as channel:
        for method in ("/rlmesh_api.v1.EnvService/GetContract", "/grpc.health.v1.Health/List"):
            call = channel.unary_unary(
                method, request_serializer=bytes, response_deserializer=bytes
            )
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", timeout=60)
            assert isinstance(caught.value, grpc.Call)
            # With a token, a stranger does not even learn which methods there are.
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError):
            list(stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest()])))


@pytest.mark.parametrize(
    "command",
    [
        each
        for each in probe_commands("plaintext", "TLS", "TLS and a token")
        # There is no reflection at the port for probes; see test_containers.py.
        if "grpcurl -plaintext" not in each
    ],
)
def test_a_probe_of_the_documentation_passes(command: str, env: Command, place: Place) -> None:
    authority = place.paths["/run/secrets/rlmesh/ca"] / "ca.crt"
    here = command.replace("$TOKEN", TOKEN).replace(DOCUMENTED_AUTHORITY, str(authority))
    secure = DOCUMENTED_AUTHORITY in command
    here = here.replace("127.0.0.1:5555", f"127.0.0.1:{place.ports[5555 if secure else 5556]}")
    if here.startswith("grpcurl"):
        assert grpcurl(here) == {"status": "SERVING"}
        return
    assert grpc_health_probe(here) == 0
    unknown = re.sub(r" -service=\S+", "", here) + " -service=nothing"
    assert grpc_health_probe(unknown) == 3


def test_a_trainer_drives_what_the_headless_service_leads_to(env: Command, place: Place) -> None:
    # The line in the documentation, with the name that this machine has for the service.
    envs: Any = rlmesh.RemoteVectorEnv(
        f"dns:localhost:{place.ports[5555]}",
        token=TOKEN,
        tls=rlmesh.ClientTLS(ca=place.paths["/run/secrets/rlmesh/ca"] / "ca.crt"),
        transport="grpc",
    )
    observations, _ = envs.reset(seed=0)
    assert observations.shape == (1, 4)
    envs.close()


def test_a_job_runs_each_seed_once_and_its_servers_end_in_time(place: Place) -> None:
    deployed = container("model", "Deployment")
    sidecar = container("evaluation", "Job", "initContainers")
    evaluate = container("evaluation", "Job")
    completions = document("kubernetes/evaluation.yaml", "Job")["spec"]["completions"]
    arguments = [*evaluate["command"], *evaluate["args"]]
    arguments[1] = str(ROOT / "deploy" / Path(arguments[1]).name)
    own = Place(paths=place.paths)

    def run_shard(index: int) -> list[int]:
        given = [
            each.replace("$(JOB_COMPLETION_INDEX)", str(index)).replace("=100", f"={completions}")
            for each in arguments
        ]
        done = run_program(given, own)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["seed"] for line in done.stdout.splitlines()]

    with (
        serving_command(deployed["args"], own) as model,
        serving_command([*sidecar["args"], "--sessions=2"], own) as env,
        ThreadPoolExecutor(2) as pool,
    ):
        probes = [each for name, each in deployed.items() if name.endswith("Probe")]
        assert len(probes) == 3
        assert all(kubelet_probe(probe, own.ports) for probe in probes)
        assert kubelet_probe(sidecar["startupProbe"], own.ports)
        # Two of the four pods, with one seed each; a sidecar of its own costs a process each.
        assert list(pool.map(run_shard, (0, completions - 1))) == [[0], [completions - 1]]
        for server in (model, env):
            server.send(signal.SIGTERM)
            assert server.end(30).code == 0
