"""A person drives an environment in a real browser."""

from __future__ import annotations

from typing import Any

import gymnasium

from browser.test_view import shot
from support.serving import serving
from support.viewing import viewing


def test_a_held_key_steps_and_sliders_do(new_page: Any) -> None:
    cartpole = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    pendulum = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
    with (
        serving(cartpole) as server,
        viewing(server.address, plays={"seed": 1}, render_rate=30.0) as url,
    ):
        page = new_page()
        page.goto(url)
        page.wait_for_selector("#play >> text=You drive.")
        page.wait_for_selector("button[data-action='1']:has-text('→')")
        page.keyboard.down("ArrowRight")
        page.wait_for_selector("button[data-action='1'][aria-pressed=true]")
        page.wait_for_selector("#play >> text=The episode is over (terminated)")
        page.keyboard.up("ArrowRight")
        page.wait_for_function("() => document.querySelector('.frames canvas')?.dataset.frames > 0")
        shot(page, "play")
    with (
        serving(pendulum) as server,
        viewing(server.address, plays={}, render_rate=30.0) as url,
    ):
        page = new_page(viewport={"width": 360, "height": 740})
        page.goto(url)
        page.fill("#play input[type=range]", "1.5")
        page.focus("#play input[type=range]")
        page.keyboard.down("Enter")
        page.wait_for_function("() => document.querySelector('[data-fact^=length]') !== null")
        page.keyboard.up("Enter")
        shot(page, "play-sliders")
