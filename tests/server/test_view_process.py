"""`view=` of a server: a page for a browser, from a process of its own."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest

import rlmesh
from rlmesh.errors import AddressInUseError, InvalidAddressError, StateError
from support.certificates import make_certificates
from support.models import OfOne, observation, working
from support.sample_envs import ScriptedEnv
from support.serving import serving
from support.viewing import Browser


def test_a_guarded_server_shows_itself_to_who_has_the_token(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    with serving(
        ScriptedEnv(), token="a-token", tls=certificates.server(mutual=True), view=0
    ) as server:
        assert server.view_url is not None
        with Browser(server.view_url, token="a-token") as browser:
            endpoints, _ = browser.until(lambda found: found[0]["up"] and found[0]["contracts"])
            assert endpoints[0]["address"] == server.address
    assert server._view is not None
    # The port is free again, and so is the folder of the socket.
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind((server._view.address.host, server._view.address.port))
    assert not Path(server._view.private.path).parent.exists()


def test_a_worker_of_models_shows_queue_and_batches() -> None:
    with working(OfOne(), view=0) as worker, rlmesh.RemoteModel(worker.address) as model:
        assert worker.view_url is not None
        with Browser(worker.view_url) as browser:
            browser.until(lambda found: found[0]["sessions"])
            model.predict(observation())
            endpoints, _ = browser.until(lambda found: predicted(found) == 1)
            [shown] = endpoints[0]["models"]
            assert (shown["version"], shown["queue"], shown["ready"]) == (1, 0, True)


def predicted(endpoints: list[dict[str, Any]]) -> int:
    return sum(
        cost["batches"]
        for session in endpoints[0]["sessions"]
        for cost in session["costs"]
        if cost["call"] == "predict"
    )


@pytest.mark.parametrize("make", [rlmesh.EnvServer, rlmesh.ModelWorker])
def test_without_the_packages_the_error_says_what_to_install(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name in ("PIL", "uvicorn") else find(name, package),
    )
    served = ScriptedEnv() if make is rlmesh.EnvServer else OfOne()
    with pytest.raises(StateError, match=r"needs uvicorn, pillow.*pip install 'rlmesh\[view\]'"):
        make(served, view=0)


def test_a_view_that_everybody_could_see_is_refused() -> None:
    with pytest.raises(InvalidAddressError, match="everybody who reaches it would see what runs"):
        rlmesh.EnvServer(ScriptedEnv(), view="0.0.0.0:0")


def test_a_view_at_a_port_that_is_taken_is_refused_and_nothing_is_left_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressInUseError, match="is in use by another program"):
            rlmesh.EnvServer(ScriptedEnv(), view=address)
