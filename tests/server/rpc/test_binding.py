"""Where a server serves: every form of address, both families, Unix sockets and their files."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import rlmesh
from rlmesh.address import MAX_PATH_BYTES
from rlmesh.errors import (
    AddressInUseError,
    ArgumentTypeError,
    InvalidAddressError,
    InvalidCredentialsError,
)
from support.sample_envs import ScriptedEnv
from support.serving import serving


def free_port(family: socket.AddressFamily = socket.AF_INET) -> int:
    with socket.socket(family) as probe:
        probe.bind(("::1" if family is socket.AF_INET6 else "127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def bound(*arguments: Any, **settings: Any) -> Any:
    """A server that is never started."""
    server = rlmesh.EnvServer(ScriptedEnv(), *arguments, **settings)
    try:
        yield server
    finally:
        server.shutdown()


def drive(address: str) -> None:
    with contextlib.closing(rlmesh.RemoteEnv(address)) as env:
        env.reset(seed=0)
        env.step(env.action_space.sample())


def has_ipv6() -> bool:
    try:
        free_port(socket.AF_INET6)
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.mark.parametrize("form", ["tcp://127.0.0.1:{}", "127.0.0.1:{}", "{}"])
def test_every_form_of_an_ipv4_address_is_served(form: str) -> None:
    port = free_port()
    with serving(ScriptedEnv(), form.format(port)) as server:
        assert server.address == f"tcp://127.0.0.1:{port}"
        drive(server.address)
        drive(form.format(port))


@ipv6
@pytest.mark.parametrize("form", ["tcp://[::1]:{}", "[::1]:{}"])
def test_every_form_of_an_ipv6_address_is_served(form: str) -> None:
    port = free_port(socket.AF_INET6)
    with serving(ScriptedEnv(), form.format(port)) as server:
        assert server.address == f"tcp://[::1]:{port}"
        drive(server.address)


def test_a_host_name_is_served() -> None:
    with serving(ScriptedEnv(), "localhost:0") as server:
        assert server.address.startswith("tcp://localhost:")
        drive(server.address)


def test_nothing_given_is_a_free_port_of_the_loopback() -> None:
    with serving(ScriptedEnv()) as server:
        host, _, port = server.address.removeprefix("tcp://").rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        drive(server.address)


def test_host_and_port_are_another_way_to_say_it() -> None:
    port = free_port()
    with bound(host="127.0.0.1", port=port) as server:
        assert server.address == f"tcp://127.0.0.1:{port}"


def test_a_port_alone_is_on_the_loopback() -> None:
    port = free_port()
    with bound(port=port) as server:
        assert server.address == f"tcp://127.0.0.1:{port}"


@ipv6
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_host_may_come_with_or_without_brackets(host: str) -> None:
    with bound(host=host) as server:
        assert server.address.startswith("tcp://[::1]:")


def test_the_address_is_resolved_and_final_from_construction_on() -> None:
    with bound("tcp://127.0.0.1:0") as server:
        address = server.address
        assert not address.endswith(":0")
        server.start()
        assert server.address == address
    assert server.address == address


def test_the_repr_names_environment_address_and_state() -> None:
    with bound() as server:
        assert repr(server) == f"<EnvServer UnknownEnv-v1 at {server.address}, bound, not started>"
        server.start()
        assert repr(server).endswith("serving>")
    assert repr(server).endswith("closed>")


def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    with serving(ScriptedEnv(), f"unix://{tmp_path}/e.sock") as server:
        assert server.address == f"unix://{tmp_path}/e.sock"
        drive(server.address)


@pytest.mark.parametrize("name", ["a b.sock", "100%41.sock", "é€.sock", "q?a=1#b.sock", "a:b.sock"])
def test_any_file_name_may_be_a_unix_socket(name: str, tmp_path: Path) -> None:
    with serving(ScriptedEnv(), path=tmp_path / name) as server:
        assert server.address == f"unix://{tmp_path / name}"
        assert stat.S_ISSOCK((tmp_path / name).stat().st_mode)
        drive(server.address)
    assert not (tmp_path / name).exists()


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with bound(path="e.sock") as server:
        assert server.address == f"unix://{tmp_path}/e.sock"


def test_only_this_user_may_connect_to_a_unix_socket(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with bound(path=tmp_path / "e.sock"):
            assert stat.S_IMODE((tmp_path / "e.sock").stat().st_mode) == 0o600
    finally:
        mask = os.umask(before)
    assert mask == 0o022, "the process's umask stays as it was"


def test_a_unix_socket_is_bound_without_a_mask_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It holds for the whole process: a file that another thread makes would have another mode.
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the mask of the process was changed"))
    with serving(ScriptedEnv(), path=tmp_path / "e.sock") as server:
        assert os.listdir(tmp_path) == ["e.sock"]
        drive(server.address)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a path")
def test_a_path_as_long_as_a_socket_may_have_is_served(tmp_path: Path) -> None:
    room = MAX_PATH_BYTES - len(str(tmp_path)) - 3
    folder = tmp_path / ("d" * room)
    folder.mkdir()
    with serving(ScriptedEnv(), path=folder / "e") as server:
        drive(server.address)
    assert os.listdir(folder) == []


def test_of_servers_that_start_at_one_path_at_once_one_has_it(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    for _ in range(10):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        made: list[rlmesh.EnvServer] = []
        refused: list[AddressInUseError] = []
        together = threading.Barrier(4)

        def start(
            made: list[rlmesh.EnvServer] = made,
            refused: list[AddressInUseError] = refused,
            together: threading.Barrier = together,
        ) -> None:
            together.wait(20)
            try:
                made.append(rlmesh.EnvServer(ScriptedEnv(), path=path))
            except AddressInUseError as error:
                refused.append(error)

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert (len(made), len(refused)) == (1, 3)
        with made[0]:
            drive(made[0].address)
        assert os.listdir(tmp_path) == []


def test_a_shutdown_leaves_the_socket_of_another_server(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    with serving(ScriptedEnv(), path=path) as first:
        path.unlink()
        with serving(ScriptedEnv(), path=path) as second:
            first.shutdown()
            drive(second.address)


def test_the_socket_file_is_gone_after_a_shutdown(tmp_path: Path) -> None:
    with serving(ScriptedEnv(), path=tmp_path / "e.sock"):
        assert (tmp_path / "e.sock").exists()
    assert not (tmp_path / "e.sock").exists()


def test_the_socket_file_of_a_server_that_never_started_is_gone_too(tmp_path: Path) -> None:
    with bound(path=tmp_path / "e.sock"):
        assert (tmp_path / "e.sock").exists()
    assert not (tmp_path / "e.sock").exists()


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert path.exists()
    with serving(ScriptedEnv(), path=path) as server:
        drive(server.address)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST."])
def test_localhost_is_where_it_leads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def mapped(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        assert host in (name, name.rstrip("."))
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (where, port or 0))
            for where in ("127.0.0.1", "192.0.2.7")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", mapped)
    with pytest.raises(InvalidAddressError, match="reachable from other machines"):
        rlmesh.EnvServer(ScriptedEnv(), f"{name}:0")
    with pytest.raises(InvalidCredentialsError, match="plaintext"):
        rlmesh.RemoteEnv(f"{name}:5555", token="a-token")


def test_a_path_with_a_live_server_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    with serving(ScriptedEnv(), path=path) as server:
        with pytest.raises(AddressInUseError, match="a live server listens on") as caught:
            rlmesh.EnvServer(ScriptedEnv(), path=path)
        assert isinstance(caught.value, ConnectionError)
        drive(server.address)


def test_the_path_of_a_server_that_has_not_started_yet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    with bound(path=path) as server:
        with pytest.raises(AddressInUseError):
            rlmesh.EnvServer(ScriptedEnv(), path=path)
        server.start()
        drive(server.address)


def test_any_other_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(InvalidAddressError, match="is there and no socket, so it is left alone"):
        rlmesh.EnvServer(ScriptedEnv(), path=path)
    assert path.read_text() == "mine"


def test_a_link_to_a_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "e.sock").symlink_to(tmp_path / "notes.txt")
    with pytest.raises(InvalidAddressError):
        rlmesh.EnvServer(ScriptedEnv(), path=tmp_path / "e.sock")
    assert (tmp_path / "e.sock").is_symlink()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidAddressError):
        rlmesh.EnvServer(ScriptedEnv(), path=tmp_path / "folder")
    assert (tmp_path / "folder").is_dir()


def test_a_path_in_no_folder_is_refused_with_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidAddressError, match=f"the folder {tmp_path}/none does not exist"):
        rlmesh.EnvServer(ScriptedEnv(), path=tmp_path / "none" / "e.sock")


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidAddressError):
        rlmesh.EnvServer(ScriptedEnv(), path=tmp_path / "file" / "e.sock")


def test_a_port_with_a_server_is_refused() -> None:
    with bound() as server:
        with pytest.raises(AddressInUseError, match="choose another port, or 0") as caught:
            rlmesh.EnvServer(ScriptedEnv(), server.address)
        assert isinstance(caught.value, ConnectionError)
        server.start()
        drive(server.address)


def test_a_port_with_another_program_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(AddressInUseError):
            rlmesh.EnvServer(ScriptedEnv(), port=other.getsockname()[1])


def test_a_host_of_another_machine_is_refused() -> None:
    with pytest.raises(InvalidAddressError, match="cannot be bound"):
        # A documentation address: no machine has it.
        rlmesh.EnvServer(ScriptedEnv(), "192.0.2.7:0", insecure=True)


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(InvalidAddressError, match=r"'nowhere\.invalid' is unknown"):
        rlmesh.EnvServer(ScriptedEnv(), "nowhere.invalid:0", insecure=True)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.7:5555", "gpu-3:5555"])
def test_an_address_beyond_this_machine_is_refused_with_the_remedy(address: str) -> None:
    with pytest.raises(InvalidAddressError, match="insecure=True") as caught:
        rlmesh.EnvServer(ScriptedEnv(), address)
    assert isinstance(caught.value, ValueError)


def test_an_address_beyond_this_machine_is_served_when_it_is_meant() -> None:
    with serving(ScriptedEnv(), "0.0.0.0:0", insecure=True) as server:
        port = server.address.rpartition(":")[2]
        drive(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"address": "http://127.0.0.1:1"}, InvalidAddressError),
        ({"address": "127.0.0.1:99999"}, InvalidAddressError),
        ({"address": "unix://relative.sock"}, InvalidAddressError),
        ({"address": 5555}, ArgumentTypeError),
        ({"port": -1}, InvalidAddressError),
        ({"port": "5555"}, ArgumentTypeError),
        ({"host": "not a host"}, InvalidAddressError),
        ({"path": 7}, ArgumentTypeError),
        ({"address": "5555", "path": "/run/e.sock"}, InvalidAddressError),
    ],
)
def test_a_wrong_address_is_a_typed_error(arguments: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        rlmesh.EnvServer(ScriptedEnv(), **arguments)
