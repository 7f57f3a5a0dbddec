// The panel by which a person drives an environment: keys and buttons, or sliders.
import { element } from "./card.js";

const NAMES = { " ": "space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
const normal = (key) => (key.length === 1 ? key.toLowerCase() : key);

export class PlayPanel {
  constructor(root, send) {
    this.root = root;
    this.send = send;
    this.known = "";
    this.keys = [];
    this.pressed = new Set();
    this.held = null;
    this.inputs = [];
    this.always = element("input", { type: "checkbox" });
    this.always.addEventListener("change", () => this.send({ play: { always: this.always.checked } }));
    const restart = element("button", { type: "button", text: "Reset", title: "Begin another episode" });
    restart.addEventListener("click", () => this.send({ play: { restart: true } }));
    this.status = element("p", { role: "status", class: "soft" });
    this.box = element("div", { class: "controls" });
    this.hint = element("p", { class: "soft" });
    root.append(element("h2", { text: "Play" }), this.status, this.box, this.hint,
      element("div", { class: "tools" }, restart, element("label", {}, this.always, " Step also while nothing is pressed")));
  }

  show(play) {
    this.root.hidden = !play;
    if (!play) return;
    const status = play.error || (play.ended ? `The episode is over (${play.ended}); the next action begins another one.` : "You drive.");
    if (this.status.textContent !== status) this.status.textContent = status;
    this.status.className = play.error ? "problem" : "soft";
    if (document.activeElement !== this.always) this.always.checked = play.always;
    const text = JSON.stringify(play.controls);
    if (text === this.known) return;
    this.known = text;
    this.box.replaceChildren();
    this.keys = [];
    this.inputs = [];
    if (!play.controls) return;
    if (play.controls.kind === "buttons") this.drawButtons(play.controls.buttons);
    else this.drawSliders(play.controls.sliders);
  }

  drawButtons(buttons) {
    for (const { action, keys } of buttons) {
      const named = keys.filter(Boolean);
      this.keys.push({ action, keys: named.map(normal), none: !keys.length });
      const label = named.map((key) => NAMES[key] || key).join(" + ") || (keys.length ? "" : "no key");
      const button = element("button", { type: "button", text: label ? `${action}: ${label}` : String(action) });
      button.dataset.action = String(action);
      button.addEventListener("pointerdown", () => this.hold(action));
      for (const end of ["pointerup", "pointerleave", "pointercancel"]) button.addEventListener(end, () => this.hold(null));
      // Enter and space on a button that has the focus.
      button.addEventListener("click", (event) => {
        if (event.detail === 0) {
          this.hold(action);
          this.hold(null);
        }
      });
      this.box.append(button);
    }
    this.hint.textContent = "Hold a key or a button: the environment steps as long as you do.";
  }

  drawSliders(sliders) {
    sliders.forEach((slider, at) => {
      const input = element("input", { type: "range", min: slider.low, max: slider.high, step: slider.step, value: slider.value, "aria-label": `action ${at}` });
      const shown = element("output", { text: String(slider.value) });
      input.addEventListener("input", () => {
        shown.textContent = Number(Number(input.value).toPrecision(3)).toString();
        if (this.held !== null || this.always.checked) this.hold(this.values());
      });
      this.inputs.push(input);
      this.box.append(element("label", { class: "slider" }, String(at), input, shown));
    });
    const go = element("button", { type: "button", text: "Hold to step" });
    go.addEventListener("pointerdown", () => this.hold(this.values()));
    for (const end of ["pointerup", "pointerleave", "pointercancel"]) go.addEventListener(end, () => { if (!this.always.checked) this.hold(null); });
    this.box.append(go);
    this.hint.textContent = "Move the sliders, and hold the button or the key enter to step.";
  }

  values() {
    return this.inputs.map((input) => Number(input.value));
  }

  hold(action) {
    const text = JSON.stringify(action);
    if (text === JSON.stringify(this.held)) return;
    this.held = action;
    this.send({ play: { hold: action } });
    for (const button of this.box.querySelectorAll("[data-action]")) {
      button.setAttribute("aria-pressed", String(button.dataset.action === String(action)));
    }
  }

  // Returns whether the key is one of the environment's.
  key(event, down) {
    if (this.root.hidden) return false;
    const key = normal(event.key);
    if (this.inputs.length && key === "Enter") {
      this.hold(down || this.always.checked ? this.values() : null);
      return true;
    }
    if (!this.keys.some((each) => each.keys.includes(key))) return false;
    if (down) this.pressed.add(key);
    else this.pressed.delete(key);
    const fitting = this.keys.filter((each) => each.keys.length && each.keys.every((one) => this.pressed.has(one)));
    fitting.sort((one, other) => other.keys.length - one.keys.length);
    this.hold(fitting.length ? fitting[0].action : null);
    return true;
  }

  release() {
    this.pressed.clear();
    if (!this.always.checked || !this.inputs.length) this.hold(null);
  }
}
