// One card: a session, or an endpoint that has none. Every text is set as text, never as markup.
import { Plot } from "./plot.js";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key === "text") made.textContent = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const number = (value) => (typeof value === "string" ? Number(value) : value);

function shown(value) {
  const found = number(value);
  if (!Number.isFinite(found)) return String(value);
  if (Number.isInteger(found)) return found.toLocaleString("en");
  return Number(found.toPrecision(4)).toString();
}

function duration(seconds) {
  if (seconds < 1e-3) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(2)} ms`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return `${(seconds / 60).toFixed(0)} min`;
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const STUCK_SECONDS = 2;
// Over how long rates are taken, in milliseconds.
const RATE_SPAN = 1500;

export class Card {
  constructor(key, number, send) {
    this.key = key;
    this.number = number;
    this.send = send;
    this.samples = [];
    this.facts = new Map();
    this.canvases = new Map();
    this.session = "";
    this.lastSteps = -1;
    this.lastStepAt = 0;
    this.contract = "";
    this.title = element("h2");
    this.state = element("span", { class: "state" });
    this.full = element("button", { type: "button", "aria-pressed": "false", text: "Full size", title: "Full size (f)" });
    this.full.addEventListener("click", () => this.toggleFull());
    this.where = element("p", { class: "where" });
    this.problem = element("p", { class: "problem", role: "status" });
    this.note = element("p", { class: "soft" });
    this.frames = element("div", { class: "frames" });
    this.numbers = element("dl", { class: "numbers" });
    this.canvas = element("canvas", { class: "plot", role: "img" });
    this.plot = new Plot(this.canvas);
    this.plotBox = element("div", {}, this.canvas,
      element("p", { class: "legend" },
        element("span", { class: "key return" }), "return ",
        element("span", { class: "key reward" }), "reward"));
    this.parts = element("div", { class: "parts", role: "img" });
    this.partsText = element("p", { class: "legend" });
    this.partsBox = element("div", {}, this.parts, this.partsText);
    this.envChoice = element("input", { type: "number", min: "0", value: "0" });
    this.envChoice.addEventListener("change", () => {
      const index = Number.parseInt(this.envChoice.value, 10);
      if (index >= 0) this.send({ endpoint: this.number, envIndex: index });
    });
    this.envBox = element("label", {}, "Sub-environment ", this.envChoice);
    this.render = element("input", { type: "checkbox" });
    this.render.addEventListener("change", () => this.send({ endpoint: this.number, renderRate: this.render.checked ? 15 : 0 }));
    this.renderBox = element("label", { title: "Calls render() after a step, between two calls of the client" },
      this.render, " Render the environment");
    this.stack = element("pre", { tabindex: "0", "aria-label": "Python stack" });
    this.stackBox = element("details", { open: "" }, element("summary", { text: "Where it is" }), this.stack);
    this.contractBox = element("details", {}, element("summary", { text: "Contract" }));
    this.root = element("article", { class: "card", tabindex: "0" },
      element("div", { class: "top" }, this.title, this.full),
      this.where, this.state, this.problem, this.note, this.frames, this.envBox, this.renderBox, this.numbers,
      this.plotBox, this.partsBox, this.stackBox, this.contractBox);
    this.root.dataset.key = key;
  }

  toggleFull() {
    const full = this.root.classList.toggle("full");
    this.full.setAttribute("aria-pressed", String(full));
    this.plot.draw();
  }

  show(endpoint, session, images) {
    const { contracts } = endpoint;
    const name = contracts.map((each) => each.id).join(", ") || endpoint.address;
    set(this.title, name);
    this.root.setAttribute("aria-label", `${name} at ${endpoint.address}`);
    set(this.where, session
      ? `${endpoint.address} · session ${session.id} of ${session.holder}, for ${duration(session.held)}`
      : endpoint.address);
    this.root.classList.toggle("down", !endpoint.up);
    this.showState(endpoint, session);
    this.showContracts(contracts);
    this.showFrames(images);
    this.envBox.hidden = !(session && session.numEnvs > 0);
    if (session && session.numEnvs > 0 && document.activeElement !== this.envChoice) {
      this.envChoice.max = String(session.numEnvs - 1);
      this.envChoice.value = String(endpoint.envIndex);
    }
    this.renderBox.hidden = !contracts.some((contract) => contract.renders);
    if (document.activeElement !== this.render) this.render.checked = endpoint.renderRate > 0;
    this.showNumbers(endpoint, session);
    const call = session && session.busy >= STUCK_SECONDS ? session
      : endpoint.models.find((model) => model.busy >= STUCK_SECONDS);
    this.stackBox.hidden = !call;
    if (call) set(this.stack, call.stack || "unknown");
  }

  showState(endpoint, session) {
    let text = endpoint.state || "unknown";
    let kind = { ready: "ready", busy: "busy" }[endpoint.state] || "bad";
    if (endpoint.up) this.wasUp = true;
    if (!endpoint.up) {
      text = this.wasUp ? "gone" : "not reached";
    } else if (session && session.lost !== null) {
      text = `its client has been disconnected for ${duration(session.lost)}`;
      kind = "busy";
    } else if (session && session.busy >= STUCK_SECONDS) {
      text = `in ${session.call} for ${duration(session.busy)}`;
      kind = "bad";
    } else if (session) {
      text = session.idle > STUCK_SECONDS ? `idle for ${duration(session.idle)}` : "running";
      kind = "ready";
    } else if (endpoint.state === "ready" && !endpoint.models.length) {
      text = "free: no client holds it";
    }
    set(this.state, text);
    this.state.className = `state ${kind}`;
    const problem = endpoint.up ? endpoint.error : `This endpoint is not shown: ${endpoint.error}`;
    set(this.problem, problem);
    this.problem.hidden = !problem;
  }

  showFrames(images) {
    const wanted = new Set(images.map((image) => image.path));
    this.frameProblem = images.filter((image) => image.error).map((image) => `${image.path}: ${image.error}`).join("; ");
    for (const [path, canvas] of this.canvases) {
      if (!wanted.has(path)) {
        canvas.parentElement.remove();
        this.canvases.delete(path);
      }
    }
    for (const image of images) {
      if (!image.bitmap) continue;
      let canvas = this.canvases.get(image.path);
      if (!canvas) {
        const name = image.path === "$" ? "observation" : image.path;
        canvas = element("canvas", { role: "img", "aria-label": `newest image of ${name}` });
        this.canvases.set(image.path, canvas);
        this.frames.append(element("figure", {}, canvas, element("figcaption", { text: name })));
      }
      if (canvas.width !== image.bitmap.width || canvas.height !== image.bitmap.height) {
        canvas.width = image.bitmap.width;
        canvas.height = image.bitmap.height;
      }
      canvas.classList.toggle("small", image.bitmap.width * image.bitmap.height <= 40000);
      canvas.getContext("2d").drawImage(image.bitmap, 0, 0);
      canvas.dataset.frames = String(Number(canvas.dataset.frames || 0) + 1);
      image.bitmap.close();
    }
  }

  showNumbers(endpoint, session) {
    const id = session ? session.id : "";
    if (id !== this.session) {
      // Another client has come.
      this.session = id;
      this.samples = [];
      this.lastSteps = -1;
    }
    const facts = new Map();
    const episode = session && session.episode;
    this.plotBox.hidden = !episode;
    this.note.hidden = true;
    if (episode) {
      const since = episode.partial ? " (since watched)" : "";
      facts.set("reward", shown(episode.reward));
      facts.set(`return${since}`, shown(episode.return));
      facts.set(`length${since}`, shown(episode.length));
      if (episode.terminated || episode.truncated) facts.set("episode", episode.terminated ? "terminated" : "truncated");
      if (episode.ended) {
        facts.set("episodes ended", shown(episode.ended));
        facts.set("last return", shown(episode.lastReturn));
        facts.set("last length", shown(episode.lastLength));
      }
      if (session.steps !== this.lastSteps) {
        this.lastSteps = session.steps;
        this.lastStepAt = performance.now();
        this.plot.add(number(episode.reward), number(episode.return));
        this.canvas.setAttribute("aria-label", `reward ${shown(episode.reward)}, return ${shown(episode.return)}`);
      }
    }
    if (session) {
      this.showRates(facts, session);
      facts.set("calls", shown(session.calls));
      if (session.failures) facts.set("failed calls", shown(session.failures));
      if (session.transport) facts.set("transport", session.transport);
      for (const [kind, count] of Object.entries(session.deviations)) facts.set(`deviates: ${kind}`, shown(count));
      let note = "";
      if (session.renderFailure) note = `render() failed and is not called any more: ${session.renderFailure}`;
      else if (this.frameProblem) note = `An image cannot be shown. ${this.frameProblem}`;
      else if (!episode && !endpoint.models.length && !this.canvases.size) note = "No step was seen yet.";
      else if (episode && !this.canvases.size) note = endpoint.contracts.some((contract) => contract.renders)
        ? "The observations hold no image." : "The observations hold no image, and the environment's render mode is not rgb_array.";
      set(this.note, note);
      this.note.hidden = !note;
    } else {
      this.partsBox.hidden = true;
      if (endpoint.capacity) facts.set("sessions", `0 of ${endpoint.capacity}`);
    }
    for (const model of endpoint.models) {
      facts.set(`${model.name}: version`, shown(model.version));
      facts.set(`${model.name}: queue`, shown(model.queue));
      facts.set(`${model.name}: doing`, model.ready ? model.call || "waits" : "warms up");
    }
    this.showFacts(facts);
  }

  showRates(facts, session) {
    const now = performance.now();
    const total = { at: now, steps: session.steps, count: 0, environment: 0, server: 0, queue: 0, batches: 0 };
    for (const cost of session.costs) {
      if (!["step", "step_many", "step_some", "predict"].includes(cost.call)) continue;
      for (const part of ["count", "environment", "server", "queue", "batches"]) total[part] += cost[part];
    }
    this.samples.push(total);
    while (this.samples.length > 2 && now - this.samples[1].at > RATE_SPAN) this.samples.shift();
    const first = this.samples[0];
    const seconds = (now - first.at) / 1000;
    const calls = total.count - first.count;
    const steps = total.steps - first.steps;
    const rate = seconds > 0 ? Math.max(steps, calls) / seconds : 0;
    facts.set(session.episode ? "steps a second" : "calls a second", rate ? rate.toFixed(rate < 10 ? 1 : 0) : "0");
    if (total.batches && calls > 0) {
      facts.set("batch size", ((total.batches - first.batches) / calls).toFixed(1));
      facts.set("in the queue", duration((total.queue - first.queue) / calls));
    }
    this.partsBox.hidden = !(calls > 0 && seconds > 0);
    if (this.partsBox.hidden) return;
    const environment = (total.environment - first.environment) / calls;
    const server = Math.max(0, (total.server - first.server) / calls - environment);
    const rest = Math.max(0, seconds / calls - environment - server);
    const sum = environment + server + rest || 1;
    const what = session.episode || !total.batches ? "environment" : "model";
    const parts = [["environment", what, environment], ["server", "server", server], ["rest", "client and network", rest]];
    if (this.parts.childElementCount !== 3) this.parts.replaceChildren(...parts.map(([kind]) => element("span", { class: kind })));
    parts.forEach(([, , part], at) => { this.parts.children[at].style.flexBasis = `${(100 * part) / sum}%`; });
    const text = parts.map(([, name, part]) => `${name} ${duration(part)}`).join(", ");
    this.parts.setAttribute("aria-label", `a call takes: ${text}`);
    set(this.partsText, `A call takes: ${text}`);
  }

  showFacts(facts) {
    for (const [name, [box]] of this.facts) {
      if (!facts.has(name)) {
        box.remove();
        this.facts.delete(name);
      }
    }
    const order = [...facts.keys()].join();
    const moved = order !== this.order;
    this.order = order;
    for (const [name, value] of facts) {
      let known = this.facts.get(name);
      if (!known) {
        const data = element("dd");
        known = [element("div", {}, element("dt", { text: name }), data), data];
        known[1].dataset.fact = name;
        this.facts.set(name, known);
      }
      if (moved) this.numbers.append(known[0]);
      set(known[1], value);
    }
  }

  showContracts(contracts) {
    const text = JSON.stringify(contracts);
    if (text === this.contract) return;
    this.contract = text;
    const boxes = contracts.map((contract) => {
      const facts = element("table", {}, element("tbody", {}, ...contract.facts.map(([name, fact]) =>
        element("tr", {}, element("th", { scope: "row", text: name }), element("td", { text: fact })))));
      const head = ["", "place", "space", "shape", "dtype", "values"].map((name) => element("th", { scope: "col", text: name }));
      const rows = contract.spaces.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", { text: cell }))));
      const spaces = element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
      const more = contract.more ? element("p", { text: `and ${contract.more} more spaces` }) : "";
      return element("div", { class: "scroll" }, facts, spaces, more);
    });
    this.contractBox.replaceChildren(this.contractBox.firstElementChild, ...boxes);
    this.contractBox.hidden = !contracts.length;
  }
}
