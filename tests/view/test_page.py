"""The page for a browser: who may read it, and what it is sent."""

from __future__ import annotations

import contextlib
import http.client
import io
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import gymnasium
import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus

import rlmesh
from rlmesh.view.images import picture_of
from support.sample_envs import ScriptedEnv
from support.serving import serving
from support.viewing import Browser, viewing

NOWHERE = "unix:///nowhere/env.sock"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


def get(url: str, path: str = "/", **headers: str) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.headers), answer.read().decode())


def test_the_page_and_its_scripts_come_from_the_package_and_nothing_else_is_allowed() -> None:
    with viewing(NOWHERE) as url:
        for path in ("/", "/view.css", "/view.js", "/card.js", "/play.js", "/plot.js", "/icon.svg"):
            answer = get(url, path)
            assert answer.status == 200
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            text = answer.text
            assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
            assert "https://" not in text
            assert "innerHTML" not in text
        assert get(url, "/../pyproject.toml").status == 404


def test_a_name_that_is_not_this_machines_reads_nothing() -> None:
    with viewing(NOWHERE, hosts=("robots.example",)) as url:
        port = urlsplit(url).port
        assert get(url, Host=f"evil.example:{port}").status == 403
        assert get(url, Host=f"localhost:{port}").status == 200
        assert get(url, Host=f"ROBOTS.example:{port}").status == 200
        assert get(url, Host=f"[::1]:{port}").status == 200


def test_the_script_of_another_site_reads_nothing() -> None:
    with viewing(NOWHERE) as url:
        with pytest.raises(InvalidStatus, match="403"):
            Browser(url, Origin="http://evil.example")
        with pytest.raises(InvalidStatus, match="403"):
            Browser(url, Origin="http://localhost:1")
        with Browser(url, Origin=url.rstrip("/")) as browser:
            assert browser.next()[0][0]["address"] == NOWHERE


def test_a_browser_without_the_token_reads_nothing() -> None:
    with (
        serving(ScriptedEnv(), token="a-token") as server,
        viewing(server.address, token="a-token") as url,
    ):
        for wrong in ("", "another"):
            with Browser(url, token=wrong) as stranger, pytest.raises(ConnectionClosed) as raised:
                stranger.next()
            assert raised.value.rcvd is not None
            assert raised.value.rcvd.code == 4401
        with Browser(url, token="a-token") as browser:
            browser.until(lambda endpoints: endpoints[0]["up"] and endpoints[0]["contracts"])


class Hostile(ScriptedEnv):
    """Its texts would be markup, and steer a terminal."""

    metadata = {"<img src=x onerror=alert(1)>": "\x1b[2J"}  # noqa: RUF012 - as Gymnasium has it


def test_an_endpoint_that_goes_is_said_to_be_gone_and_comes_back() -> None:
    with serving(Hostile()) as server, viewing(server.address, NOWHERE) as url:
        with Browser(url) as browser:
            endpoints, _ = browser.until(lambda found: found[0]["up"] and found[0]["contracts"])
            assert not endpoints[1]["up"]
            assert (
                "no server answers"
                in browser.until(lambda found: found[1]["error"] != "connecting")[0][1]["error"]
            )
            facts = dict(endpoints[0]["contracts"][0]["facts"])
            assert "\x1b" not in facts["metadata"]
            server.shutdown()
            browser.until(lambda found: not found[0]["up"])
            with serving(Hostile(), server.address):
                browser.until(lambda found: found[0]["up"])


def test_images_and_numbers_of_a_session_are_sent_once_each() -> None:
    env: Any = gymnasium.wrappers.AddRenderObservation(
        gymnasium.make("CartPole-v1", render_mode="rgb_array"), render_only=True
    )
    with (
        serving(env) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as client,
        viewing(server.address) as url,
        Browser(url) as browser,
    ):
        observation, _ = client.reset(seed=0)
        endpoints, images = browser.until(
            lambda found: any(image["new"] for image in found[0]["images"])
        )
        [described] = endpoints[0]["images"]
        shown = np.asarray(Image.open(io.BytesIO(images[0])))
        assert (described["height"], described["width"]) == observation.shape[:2] == shown.shape[:2]
        assert np.abs(shown.astype(int) - observation).mean() < 8
        assert browser.next()[1] == []
        client.step(1)
        endpoints, _ = browser.until(lambda found: found[0]["sessions"][0]["episode"])
        [session] = endpoints[0]["sessions"]
        assert session["episode"]["reward"] == 1.0
        assert session["holder"].startswith("pytest") or "pid" in session["holder"]


def test_what_no_page_sends_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    with viewing(NOWHERE) as url, Browser(url) as browser:
        for nonsense in (b"\0", "[" * 4000, '{"play":' * 500, "[]", '{"endpoint": 1e999}'):
            browser.socket.send(nonsense)
        assert browser.next()[0][0]["address"] == NOWHERE
        with Browser(url, token="\ud800") as another:
            assert another.next()[0][0]["address"] == NOWHERE
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        ([], "no frame"),
        (np.zeros((2, 70_000), np.uint8), "cannot be shown as an image"),
        ("text", "is no image"),
    ],
)
def test_a_frame_that_cannot_be_shown_says_why_and_the_page_goes_on(frame: Any, why: str) -> None:
    env = ScriptedEnv()
    env.render_mode = "rgb_array"
    env.script["render"] = lambda: frame
    with (
        serving(env) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as client,
        viewing(server.address, render_rate=60.0) as url,
        Browser(url) as browser,
    ):
        client.reset()
        browser.until(lambda found: client.step(np.zeros(2, np.float32)) and found[0]["images"])
        for _ in range(2):
            endpoints, images = browser.next()
            assert why in endpoints[0]["images"][0]["error"]
            assert images == []


@pytest.mark.parametrize(
    ("shape", "height_and_width"),
    [
        ((9, 11), (9, 11)),
        ((9, 11, 1), (9, 11)),
        ((9, 11, 3), (9, 11)),
        ((9, 11, 4), (9, 11)),
        ((3, 9, 11), (9, 11)),
        ((1, 9, 11), (9, 11)),
        ((4, 9, 11), (9, 11)),
    ],
)
def test_every_form_of_an_image_is_a_picture(
    shape: tuple[int, ...], height_and_width: tuple[int, int]
) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    picture = picture_of(array)
    assert (picture.height, picture.width) == height_and_width
    assert picture.kind == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(picture.data)))
    if shape == (9, 11, 3):
        assert np.array_equal(pixels, array)
    if shape == (4, 9, 11):
        assert np.array_equal(pixels, array[-1])


@pytest.mark.parametrize(
    "array", [np.zeros(3, np.uint8), np.zeros((0, 4), np.uint8), np.array("a")]
)
def test_what_is_no_image_is_refused(array: Any) -> None:
    with pytest.raises(ValueError, match="is no image"):
        picture_of(array)
