"""A Ray cluster over hosts of their own, in network namespaces: steps cross the network there."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.certificates import make_certificates
from support.fleets import is_running
from support.hosts import Host, joined_hosts
from support.process import descendants
from support.serving import start_python
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
PORT = 6379
# Ten seconds are what users are told; a busy machine may take longer.
SOON = 40.0
# The cluster's own secret, whatever Ray has on this machine.
RAY = ("env", "RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN={secrets.token_hex(32)}")

_DRIVER = """
import dataclasses, json, sys, time
import ray, rlmesh, rlmesh.ray
from rlmesh.errors import InvalidCredentialsError
from support.fleets import ID, SHARE, step_until_replaced

address, folder, victim = sys.argv[1:]
ray.init(address=address, log_to_driver=False)
arguments = {
    "size": 8,
    "sessions_per_server": 2,
    "resources": SHARE,
    "server_options": {"isolation": "process"},
}

def say(**known):
    rows = [dataclasses.asdict(row) for row in fleet.status()]
    print(json.dumps({**known, "rows": rows}), flush=True)

def lose():
    print("lose it", flush=True)
    sys.stdin.readline()

try:
    rlmesh.ray.Fleet(ID, **arguments)
except InvalidCredentialsError as error:
    refusal = str(error)
# What it had placed is still ending, and two nodes are spread over evenly only where both are free.
while not ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"] == 8:
    time.sleep(0.05)
fleet = rlmesh.ray.Fleet(
    ID,
    tls=rlmesh.ClientTLS(ca=f"{folder}/ca.pem", server_name="envs.internal"),
    server_tls=rlmesh.ServerTLS(certificate=f"{folder}/node.pem", key=f"{folder}/node.key"),
    **arguments,
)
say(refusal=refusal, transport=fleet.transport)
lost = [
    index
    for number, row in enumerate(fleet.status())
    if row.node_address == victim
    for index in (2 * number, 2 * number + 1)
]
took = step_until_replaced(fleet, lose, lost)
say(lost=lost, took=took)
while True:
    fleet.step([0] * 8)
"""


@pytest.fixture
def hosts() -> Generator[tuple[Host, Host, Host]]:
    """One that programs run on, and two for servers: the nodes of a Ray cluster."""
    with joined_hosts(3) as (head, *others), contextlib.ExitStack() as stack:
        # Ray's sockets have room for a short path alone.
        folder = Path(tempfile.mkdtemp(prefix="rlmesh-", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for host in (head, *others):
            # Before their folder is removed.
            stack.callback(host.kill)
        start(head, folder, "--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false")
        with ThreadPoolExecutor() as pool:
            joining = f"--address={head.address}:{PORT}", "--num-cpus=4"
            list(pool.map(lambda host: start(host, folder, *joining), others))
        yield head, others[0], others[1]


def start(host: Host, folder: Path, *arguments: str) -> None:
    """Has a host be a node of the cluster."""
    command = [*host.prefix, *RAY, sys.executable, "-m", "ray.scripts.scripts", "start", *arguments]
    command += [f"--node-ip-address={host.address}", f"--temp-dir={folder / host.address}"]
    command += ["--object-store-memory=100000000", "--disable-usage-stats"]
    log = folder / f"{host.address}.log"
    with log.open("wb") as sink:
        # Not a pipe, which the processes of the node would keep open.
        ended = subprocess.run(command, check=False, stdout=sink, stderr=sink, timeout=120)
    assert ended.returncode == 0, log.read_text()


def test_a_fleet_over_hosts_steps_over_tls_survives_a_silent_host_and_ends_with_its_program(
    hosts: tuple[Host, Host, Host], tmp_path: Path
) -> None:
    head, kept, victim = hosts
    make_certificates(tmp_path).issue("node", "envs.internal")
    driver = ["-c", _DRIVER, f"{head.address}:{PORT}", str(tmp_path), victim.address]
    with start_python(
        driver, prefix=[*head.prefix, *RAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        try:
            first = told(program)
            assert "is another machine than that of the program" in first["refusal"]
            assert first["transport"] == "direct"
            places = sorted((row["node_address"], row["address"]) for row in first["rows"])
            assert [place for place, _ in places] == [kept.address] * 2 + [victim.address] * 2
            assert all(address.startswith(f"tcp://{place}:") for place, address in places)
            assert program.stdout is not None
            assert program.stdin is not None
            assert program.stdout.readline() == "lose it\n"
            victim.cut()
            program.stdin.write("\n")
            program.stdin.flush()
            second = told(program)
            assert len(second["lost"]) == 4
            # Not when Ray or gRPC count the silent host as gone, which takes a minute.
            assert second["took"] < SOON
            assert {row["node_address"] for row in second["rows"]} == {kept.address}
            assert sorted(row["restarts"] for row in second["rows"]) == [0, 0, 1, 1]
            # Those of the environments too, which share memory with their servers.
            pids = [
                each for row in second["rows"] for each in (row["pid"], *descendants(row["pid"]))
            ]
            assert len(pids) >= 12
            assert any(map(has_segment, pids))
        finally:
            program.kill()
    wait_until(lambda: not any(map(is_running, pids)))
    assert not any(has_segment(pid) for host in (head, kept) for pid in host.pids())
    ports = {row["address"].rpartition(":")[2] for row in second["rows"]}
    assert not ports & kept.listening()


def told(program: subprocess.Popen[str]) -> Any:
    assert program.stdout is not None
    return json.loads(program.stdout.readline())


def has_segment(pid: int) -> bool:
    """Whether a process shares memory as RLMesh does; it may have ended meanwhile."""
    try:
        return "memfd:rlmesh" in Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
