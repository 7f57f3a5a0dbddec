"""The page in a real browser: what a person sees of servers that run."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlmesh
from support.foreign_servers import health_only
from support.sample_envs import ScriptedEnv
from support.serving import serving
from support.viewing import viewing

HEIGHT, WIDTH = 480, 640
BLOCK, BITS = 80, 8
SHOTS = os.environ.get("RLMESH_SCREENSHOTS")


class Coded(gymnasium.Env[Any, Any]):
    """Its image shows the number of the step in eight black or white blocks."""

    metadata = {  # noqa: RUF012 - as Gymnasium has it
        "render_modes": ["rgb_array"],
        "<b>bold</b>": "<script>document.title='hit'</script>",
    }

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.count = 0
        self.stuck = threading.Event()
        self.go = threading.Event()

    def image(self) -> Any:
        image = np.full((HEIGHT, WIDTH, 3), (40, 90, 160), np.uint8)
        y = 40 + 3 * (self.count % 100)
        image[y : y + 60, 290:350] = (230, 190, 40)
        for bit in range(BITS):
            image[-BLOCK:, bit * BLOCK : (bit + 1) * BLOCK] = 255 if self.count >> bit & 1 else 0
        return image

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.count = 0
        return self.image(), {}

    def step(self, action: Any) -> Any:
        if action == 1:
            self.stuck.set()
            assert self.go.wait(60)
        self.count += 1
        return self.image(), float(np.sin(self.count / 7)), False, self.count % 90 == 0, {}


READ_CODE = """
() => {
  const canvas = document.querySelector(".frames canvas");
  if (!canvas || canvas.width !== 640) return -1;
  const context = canvas.getContext("2d");
  let code = 0;
  for (let bit = 0; bit < 8; bit += 1) {
    const [red] = context.getImageData(bit * 80 + 40, 440, 1, 1).data;
    if (red > 128) code += 1 << bit;
  }
  return code;
}
"""


def shows(page: Any, code: int) -> None:
    page.wait_for_function(f"() => ({READ_CODE})() === {code}", polling="raf")


def shot(page: Any, name: str) -> None:
    """For a person to look at, where RLMESH_SCREENSHOTS names a folder."""
    if SHOTS:
        Path(SHOTS, f"{name}.png").write_bytes(page.screenshot(full_page=True))


def test_a_step_is_seen_at_once_and_the_plot_moves(
    new_page: Any, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        serving(Coded()) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as env,
        viewing(server.address) as url,
    ):
        env.reset(seed=0)
        page = new_page()
        page.goto(url)
        shows(page, 0)
        delays: list[float] = []
        for code in range(1, 21):
            began = time.monotonic()
            env.step(0)
            shows(page, code)
            delays.append(time.monotonic() - began)
        typical = sorted(delays)[len(delays) // 2]
        with capsys.disabled():
            sys.stderr.write(
                f"\na step is seen after {1e3 * typical:.0f} ms, at most {1e3 * max(delays):.0f}\n"
            )
        record_property("delay", typical)
        assert typical < 5.0
        points = int(page.get_attribute("canvas.plot", "data-points"))
        for _ in range(5):
            env.step(0)
        page.wait_for_function(
            f"() => Number(document.querySelector('canvas.plot').dataset.points) > {points}"
        )
        page.wait_for_function(
            "() => document.querySelector('[data-fact^=length]').textContent === '25'"
        )
        # What the environment says is text, whatever it looks like.
        page.click("summary:has-text('Contract')")
        assert page.title() == "RLMesh"
        assert "<b>bold</b>" in page.text_content("table >> nth=0")
        assert page.locator("table b").count() == 0


def test_an_endpoint_that_goes_is_said_to_be_gone_and_comes_back(new_page: Any) -> None:
    with serving(Coded()) as server:
        with viewing(server.address) as url:
            page = new_page()
            page.goto(url)
            page.wait_for_selector("text=free: no client holds it")
            server.shutdown()
            page.wait_for_selector(".card.down >> text=no server answers")
            shot(page, "gone")
            with serving(Coded(), server.address):
                page.wait_for_selector("text=free: no client holds it")
            port = int(re.findall(r":(\d+)/", url)[0])
        page.wait_for_selector("text=The view does not answer")
        with viewing(server.address, port=port):
            page.wait_for_selector("#connection:has-text('endpoints answer')")


def test_the_page_asks_for_the_token_and_takes_it_from_the_fragment(new_page: Any) -> None:
    with (
        serving(Coded(), token="a-token") as server,
        viewing(server.address, token="a-token") as url,
    ):
        page = new_page()
        page.goto(url)
        page.wait_for_selector("text=This view asks for the server's token.")
        shot(page, "token")
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=The token is wrong. Give the server's token.")
        page.fill("#token", "a-token")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=free: no client holds it")
        other = new_page()
        other.goto(f"{url}#token=a-token")
        other.wait_for_selector("text=free: no client holds it")
        assert "token" not in other.url


def test_a_stuck_environment_shows_where_it_is(new_page: Any) -> None:
    coded = Coded()
    with serving(coded) as server, rlmesh.RemoteEnv[Any, Any](server.address) as env:
        env.reset(seed=0)
        stepping = threading.Thread(target=env.step, args=(1,))
        stepping.start()
        try:
            assert coded.stuck.wait(60)
            with viewing(server.address) as url:
                page = new_page()
                page.goto(url)
                page.wait_for_selector("pre:has-text('self.go.wait(60)')")
                shot(page, "stuck")
        finally:
            coded.go.set()
            stepping.join()


def test_a_page_that_slept_shows_the_newest_and_finds_a_view_that_began_again(
    new_page: Any,
) -> None:
    with serving(Coded()) as server, rlmesh.RemoteEnv[Any, Any](server.address) as env:
        env.reset(seed=0)
        with viewing(server.address) as url:
            page = new_page()
            page.goto(url)
            shows(page, 0)
            sleeps = page.context.new_cdp_session(page)
            sleeps.send("Page.setWebLifecycleState", {"state": "frozen"})
            for _ in range(5):
                env.step(0)
            sleeps.send("Page.setWebLifecycleState", {"state": "active"})
            shows(page, 5)
            sleeps.send("Page.setWebLifecycleState", {"state": "frozen"})
            port = int(re.findall(r":(\d+)/", url)[0])
        env.step(0)
        with viewing(server.address, port=port):
            sleeps.send("Page.setWebLifecycleState", {"state": "active"})
            shows(page, 6)


def test_a_server_without_images_and_one_that_cannot_be_shown_say_so(new_page: Any) -> None:
    odd = ScriptedEnv()
    odd.render_mode = "rgb_array"
    odd.script["render"] = lambda: "text"
    with (
        serving(gymnasium.make("CartPole-v1")) as blind,
        serving(odd) as strange,
        health_only() as nothing,
        rlmesh.RemoteEnv[Any, Any](blind.address) as first,
        rlmesh.RemoteEnv[Any, Any](strange.address) as second,
        viewing(blind.address, strange.address, nothing, render_rate=60.0) as url,
    ):
        page = new_page()
        page.goto(url)
        page.wait_for_selector("text=No step was seen yet.")
        page.wait_for_selector("text=is no RLMesh server; check the address")
        first.reset(seed=0)
        second.reset()
        notes = [
            page.get_by_text("The observations hold no image, and the environment's render mode"),
            page.get_by_text("An image cannot be shown. render(): this cannot be shown"),
        ]
        # Steps before the first look are not seen.
        until = time.monotonic() + 60
        while not all(note.is_visible() for note in notes):
            assert time.monotonic() < until
            if first.step(0)[2]:
                first.reset()
            second.step(np.zeros(2, np.float32))
        shot(page, "messages")


def test_pause_holds_the_picture_and_follow_shows_who_steps(new_page: Any) -> None:
    with (
        serving(Coded()) as one,
        serving(Coded()) as two,
        rlmesh.RemoteEnv[Any, Any](one.address) as env,
        viewing(one.address, two.address) as url,
    ):
        env.reset(seed=0)
        page = new_page()
        page.goto(url)
        shows(page, 0)
        assert page.locator(".card:visible").count() == 2
        page.keyboard.press("Space")
        page.wait_for_selector("#pause[aria-pressed=true]")
        # What was on its way is shown; nothing comes after it.
        env.step(0)
        page.keyboard.press("Space")
        shows(page, 1)
        env.step(0)
        shows(page, 2)
        page.keyboard.press("l")
        page.wait_for_function(
            "() => document.querySelectorAll('.card:not([hidden])').length === 1"
        )
        page.focus(".card:not([hidden])")
        page.keyboard.press("f")
        page.wait_for_selector(".card.full")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_a_screen(new_page: Any, scheme: str) -> None:
    vector: Any = gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    with (
        serving(Coded()) as one,
        serving(vector) as two,
        serving(gymnasium.make("CartPole-v1", render_mode="rgb_array")) as three,
        rlmesh.RemoteEnv[Any, Any](one.address) as first,
        rlmesh.RemoteVectorEnv[Any, Any](two.address) as second,
        rlmesh.RemoteEnv[Any, Any](three.address) as third,
        viewing(one.address, two.address, three.address, render_rate=20.0) as url,
    ):
        first.reset(seed=0)
        second.reset(seed=0)
        third.reset(seed=0)
        page = new_page(color_scheme=scheme)
        page.goto(url)
        shows(page, 0)
        for _ in range(30):
            first.step(0)
            second.step(np.array([0, 1, 0]))
            if third.step(third.action_space.sample())[2]:
                third.reset()
            page.wait_for_timeout(10)
        shows(page, 30)
        page.wait_for_function("() => document.querySelectorAll('.frames canvas').length === 2")
        ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(245, 246, 248)", "dark": "rgb(13, 17, 23)"}[scheme]
        shot(page, f"wide-{scheme}")
        page.set_viewport_size({"width": 360, "height": 740})
        page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
        shot(page, f"narrow-{scheme}")
        page.keyboard.press("t")
        other = {"light": "dark", "dark": "light"}[scheme]
        page.wait_for_selector(f"html[data-theme={other}]")
