"""The benchmark of served models: its page, its drivers, and contenders that are not there."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.models import episodes, report
from benchmarks.models.catalogue import CONTENDERS
from benchmarks.models.installing import install
from benchmarks.models.peers import HttpClient
from benchmarks.models.processes import take_turns
from benchmarks.models.results import ModelRun, verdicts
from benchmarks.models.task import NOTHING


def run() -> ModelRun:
    return ModelRun.from_json(report.RESULTS.read_text())


def test_the_numbers_of_the_page_are_those_of_the_raw_results() -> None:
    assert report.PAGE.read_text() == report.page(run())
    assert run().to_json() == report.RESULTS.read_text()


def test_a_bar_is_judged_by_the_median_of_the_ratios_of_rounds() -> None:
    published = run()
    published.turns = {
        "crowd": {
            "shm": [{"rate": rate} for rate in (80.0, 81.0, 50.0)],
            "one-by-one": [{"rate": 10.0}] * 3,
        }
    }
    published.hidden = published.reloads = None
    [verdict] = verdicts(published)
    assert (verdict.measured, verdict.met) == ("8.00 (5.00 to 8.10)", True)


def test_contenders_take_turns_and_one_that_is_not_installed_is_named() -> None:
    keys = ["shm", "mosec"]
    turns, absent = take_turns(keys, NOTHING, 2, rounds=1, seconds=0.05, interpreters={})
    assert turns["shm"][0]["rate"] > 0
    assert absent == {"mosec": "mosec is not installed"}


def test_a_client_over_http_connects_again_where_its_idle_connection_was_closed() -> None:
    bodies: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as request:
                while request.readline().strip():
                    pass
                bodies.append(request.read(4))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,))
        serving.start()
        client = HttpClient(listener.getsockname()[1], "/", "application/octet-stream")
        try:
            assert (client.post(b"1234"), client.post(b"5678")) == (b"ok", b"ok")
        finally:
            client.close()
        serving.join()
    assert bodies == [b"1234", b"5678"]


def test_a_peer_that_cannot_be_installed_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = CONTENDERS["mosec"]
    (tmp_path / "mosec").mkdir()
    (tmp_path / "mosec" / ".installed").write_text(f"{there.package} numpy")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    interpreters, absent = install(tmp_path, [CONTENDERS["shm"], CONTENDERS["litserve"], there])
    assert interpreters == {"mosec": str(tmp_path / "mosec/bin/python")}
    assert absent == {"litserve": "litserve==0.2.19 numpy cannot be installed: exit code 1"}


def test_no_call_fails_and_no_episode_has_two_versions_where_a_model_is_loaded_again() -> None:
    found = episodes.reload(0.3)
    assert (found.failed, found.mixed) == (0, 0)
    assert found.versions > 1
