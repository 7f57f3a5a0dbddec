"""A fleet on a Ray cluster of several nodes: placed, driven, scaled and ended."""

from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlmesh
import rlmesh.ray
from rlmesh.errors import (
    ArgumentTypeError,
    AuthenticationError,
    ContractMismatchError,
    EndpointUnreachableError,
    InvalidArgumentError,
    InvalidCredentialsError,
    RemoteEnvError,
    TlsError,
)
from support.certificates import Certificates, make_certificates
from support.comparing import assert_same
from support.fleets import ID, SHARE, is_open, is_running, local
from support.waiting import wait_until

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.timeout(300)]


def test_64_environments_over_four_nodes_are_placed_evenly_and_step_as_local_ones() -> None:
    fleet = rlmesh.ray.Fleet(ID, size=64, sessions_per_server=8, resources=SHARE)
    rows = fleet.status()
    assert Counter(Counter(row.node for row in rows).values()) == {2: 4}
    assert fleet.num_envs == 64
    assert set(fleet.addresses) == {row.address for row in rows}
    assert "shm" in fleet.transport
    expected = local(64)
    expected.action_space.seed(1)
    assert_same(fleet.reset(seed=5), expected.reset(seed=5))
    for _ in range(60):
        actions = expected.action_space.sample()
        assert_same(fleet.step(actions), expected.step(actions))
    assert [row.steps for row in fleet.status()] == [8 * 60] * 8
    assert {row.state for row in fleet.status()} == {"ready"}
    fleet.close()
    expected.close()
    assert not any(is_open(row.address) for row in rows)
    wait_until(lambda: not any(is_running(row.pid) for row in rows))


def test_a_fleet_of_another_size_steps_as_local_environments_of_that_size() -> None:
    with rlmesh.ray.Fleet(ID, size=2, sessions_per_server=2, resources=SHARE) as fleet:
        first = fleet.status()
        for size in (5, 3):
            fleet.scale(size)
            assert fleet.num_envs == size
            assert len(fleet.status()) == (size + 1) // 2
            assert fleet.status()[0].pid == first[0].pid
            expected = local(size)
            assert_same(fleet.reset(seed=size), expected.reset(seed=size))
            actions = np.ones(size, np.int64)
            assert_same(fleet.step(actions), expected.step(actions))
            expected.close()


def test_the_first_that_are_done_are_received_in_batches() -> None:
    with rlmesh.ray.Fleet(ID, size=4, resources=SHARE, batch_size=2) as fleet:
        fleet.reset(seed=0)
        fleet.send(np.zeros(4, np.int64))
        received = [fleet.recv()[4]["env_id"] for _ in range(2)]
        assert sorted(np.concatenate(received).tolist()) == [0, 1, 2, 3]
        with pytest.raises(InvalidArgumentError, match="batch_size=2"):
            fleet.scale(1)


def test_resources_that_nobody_has_are_refused_at_once_with_what_there_is() -> None:
    with pytest.raises(InvalidArgumentError, match=r"no node .* \{lidar: 1\}.*5 nodes: .*CPU: 4"):
        rlmesh.ray.Fleet(ID, size=1, resources={"lidar": 1})
    with pytest.raises(InvalidArgumentError, match=r"17 servers .* at most 16 do"):
        rlmesh.ray.Fleet(ID, size=17)


def test_resources_that_others_have_are_waited_for_and_then_named() -> None:
    with (
        rlmesh.ray.Fleet(ID, size=1, resources=SHARE),
        pytest.raises(EndpointUnreachableError, match=r"no room for 4 servers .* free now is CPU"),
    ):
        rlmesh.ray.Fleet(ID, size=4, resources={"CPU": 4}, start_timeout_seconds=1)


def test_packed_servers_share_a_node_and_have_the_environment_that_is_asked_for() -> None:
    def make() -> Any:
        env = gymnasium.make(ID)
        env.unwrapped.scene = os.environ["SCENE"]  # type: ignore[attr-defined] # as it is asked for
        return env

    with rlmesh.ray.Fleet(
        make,
        size=2,
        resources=SHARE,
        placement="pack",
        runtime_env={"env_vars": {"SCENE": "kitchen"}},
        server_options={"expose": ("scene",)},
    ) as fleet:
        assert len({row.node for row in fleet.status()}) == 1
        assert fleet.get_attr("scene") == ("kitchen", "kitchen")


def test_an_environment_that_cannot_be_made_is_reported_with_its_node_and_traceback() -> None:
    def make() -> Any:
        raise FileNotFoundError("scene.usd is missing")

    with pytest.raises(RemoteEnvError, match=r"server \d on node \S+ .*scene.usd") as caught:
        rlmesh.ray.Fleet(make, size=2, resources=SHARE)
    assert isinstance(caught.value, FileNotFoundError)
    assert "in make\n" in caught.value.remote_traceback


def test_a_process_that_dies_of_making_the_environment_is_reported_at_once() -> None:
    def make() -> Any:
        os._exit(3)

    died = r"server \d.* ended before it served"
    with pytest.raises(EndpointUnreachableError, match=died):
        rlmesh.ray.Fleet(make, size=2, resources=SHARE, start_timeout_seconds=100)


def test_servers_of_different_contracts_are_refused(tmp_path: Path) -> None:
    def make() -> Any:
        # The first process to come makes another environment than the others.
        try:
            (tmp_path / str(os.getpid())).touch()
            os.open(tmp_path / "first", os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return gymnasium.make("CartPole-v1")
        return gymnasium.make("Acrobot-v1")

    with pytest.raises(ContractMismatchError, match=r"server \d on .* not serve what server 0 on"):
        rlmesh.ray.Fleet(make, size=2, resources=SHARE)


def test_arguments_are_refused_before_anything_is_started() -> None:
    lock = socket.socket()
    with pytest.raises(ArgumentTypeError, match="cannot be pickled"):
        rlmesh.ray.Fleet(lambda: lock, size=1)
    lock.close()
    with pytest.raises(gymnasium.error.NameNotFound):
        rlmesh.ray.Fleet("Carpole-v1", size=1)
    with pytest.raises(InvalidArgumentError, match="placement must be 'spread'"):
        rlmesh.ray.Fleet(ID, size=1, placement="even")  # type: ignore[arg-type] # bad input
    with pytest.raises(InvalidArgumentError, match="'port' is no argument of EnvServer"):
        rlmesh.ray.Fleet(ID, size=1, server_options={"port": 5})
    with pytest.raises(InvalidCredentialsError, match="TLS needs both sides"):
        rlmesh.ray.Fleet(ID, size=1, tls=rlmesh.ClientTLS())
    with pytest.raises(InvalidArgumentError, match="size must be 1 or more"):
        rlmesh.ray.Fleet(ID, size=0)


def test_a_server_on_another_machine_needs_tls_or_the_word_insecure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All nodes are on this machine: the program says that it is on another one.
    monkeypatch.setattr("rlmesh.ray.fleet.this_host", lambda: "elsewhere")
    with pytest.raises(InvalidCredentialsError, match=r"server 0 on node .* another machine"):
        rlmesh.ray.Fleet(ID, size=1, resources=SHARE)
    with rlmesh.ray.Fleet(ID, size=1, resources=SHARE, insecure=True) as fleet:
        assert fleet.status()[0].node_address in fleet.addresses[0]
        fleet.reset(seed=0)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Those of an authority, with one for all nodes, which names none of their addresses."""
    made = make_certificates(tmp_path)
    made.issue("node", "envs.internal")
    return made


@pytest.mark.parametrize("transport", ["direct", "grpc"])
def test_a_fleet_with_certificates_steps_over_tls_as_local_environments(
    transport: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that servers listen at the addresses of their nodes, as they do on other machines.
    monkeypatch.setattr("rlmesh.ray.fleet.this_host", lambda: "elsewhere")
    tls = certificates.client(server_name="envs.internal")
    with rlmesh.ray.Fleet(
        ID,
        size=4,
        sessions_per_server=2,
        resources=SHARE,
        tls=tls,
        server_tls=certificates.server("node"),
        transport=transport,
    ) as fleet:
        assert fleet.transport == transport
        assert fleet.status()[0].node_address in fleet.addresses[0]
        expected = local(4)
        assert_same(fleet.reset(seed=1), expected.reset(seed=1))
        assert_same(fleet.step(np.ones(4, np.int64)), expected.step(np.ones(4, np.int64)))
        expected.close()
        with pytest.raises(TlsError, match="uses TLS and this client does not"):
            rlmesh.RemoteEnv(fleet.addresses[0])
        with pytest.raises(AuthenticationError, match="who show its token"):
            rlmesh.RemoteEnv(fleet.addresses[0], tls=tls)


@pytest.mark.parametrize(
    ("trusted", "name", "told"),
    [
        ("other-ca.pem", "envs.internal", "is not signed by an authority that this client trusts"),
        ("ca.pem", "models.internal", "is not valid for 'models.internal'"),
    ],
    ids=["authority", "name"],
)
def test_a_certificate_that_the_program_does_not_trust_is_named_with_its_node(
    trusted: str, name: str, told: str, certificates: Certificates
) -> None:
    with pytest.raises(TlsError, match=told) as caught:
        rlmesh.ray.Fleet(
            ID,
            size=1,
            resources=SHARE,
            tls=certificates.client(ca=trusted, server_name=name),
            server_tls=certificates.server("node"),
        )
    assert "this is server 0 on node" in str(vars(caught.value)["__notes__"])


def test_certificates_that_are_not_on_a_node_are_named_with_it(tmp_path: Path) -> None:
    missing = rlmesh.ServerTLS(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    with pytest.raises(InvalidCredentialsError, match=r"server 0 on node \S+ .*cert.pem cannot be"):
        rlmesh.ray.Fleet(ID, size=1, resources=SHARE, tls=rlmesh.ClientTLS(), server_tls=missing)
