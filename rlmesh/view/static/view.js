// The page: it keeps one websocket, shows what comes, and asks for more when it has shown it.
import { Card } from "./card.js";
import { PlayPanel } from "./play.js";

const main = document.getElementById("sessions");
const connection = document.getElementById("connection");
const ask = document.getElementById("ask");
const why = document.getElementById("why");
const field = document.getElementById("token");
const cards = new Map();
const panel = new PlayPanel(document.getElementById("play"), (command) => send(command));
const WRONG_TOKEN = 4401;
const LONGEST_WAIT = 5000;

let socket = null;
let paused = false;
let following = false;
let waiting = 500;
let timer = 0;
let expected = null;
let held = false;

// The token comes in the fragment, which no browser sends to a server, and leaves the address bar.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given !== null) {
  sessionStorage.setItem("rlmesh-token", given);
  history.replaceState(null, "", location.pathname);
}

function say(text, bad = false) {
  if (connection.textContent !== text) connection.textContent = text;
  connection.classList.toggle("bad", bad);
}

function send(command) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(command));
}

function connect() {
  clearTimeout(timer);
  if (socket && socket.readyState <= WebSocket.OPEN) return;
  expected = null;
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket = mine;
  mine.binaryType = "blob";
  mine.addEventListener("open", () => {
    mine.send(JSON.stringify({ token: sessionStorage.getItem("rlmesh-token") || "" }));
    mine.send(JSON.stringify({ next: true }));
  });
  mine.addEventListener("message", (event) => {
    if (mine !== socket) return;
    receive(event.data).catch((error) => say(`This page cannot show what came: ${error}`, true));
  });
  mine.addEventListener("close", (event) => {
    if (mine !== socket) return;
    socket = null;
    if (event.code === WRONG_TOKEN) {
      const had = sessionStorage.getItem("rlmesh-token");
      why.textContent = had ? "The token is wrong. Give the server's token." : "This view asks for the server's token.";
      say(had ? "The token is wrong" : "A token is needed", true);
      ask.hidden = false;
      main.hidden = true;
      field.focus();
      return;
    }
    say(event.reason || "The view does not answer; it is tried again by itself", true);
    main.classList.add("stale");
    timer = setTimeout(connect, waiting);
    waiting = Math.min(2 * waiting, LONGEST_WAIT);
  });
}

// A message announces so many images, which follow it.
async function receive(data) {
  if (typeof data === "string") {
    const message = JSON.parse(data);
    const images = message.endpoints.flatMap((endpoint) => endpoint.images.filter((image) => image.new));
    expected = { message, images, at: 0, blobs: [] };
  } else if (expected) {
    expected.blobs.push(data);
  }
  if (!expected || expected.blobs.length < expected.images.length) return;
  const { message, images, blobs } = expected;
  expected = null;
  const from = socket;
  await Promise.all(images.map(async (image, at) => {
    image.bitmap = await createImageBitmap(new Blob([blobs[at]], { type: image.type }));
  }));
  show(message);
  waiting = 500;
  if (from !== socket) return;
  if (paused) held = true;
  else requestAnimationFrame(next);
}

function next() {
  send({ next: true });
}

function show(message) {
  ask.hidden = true;
  main.hidden = false;
  main.classList.remove("stale");
  panel.show(message.play);
  const wanted = new Set();
  message.endpoints.forEach((endpoint, number) => {
    const sessions = endpoint.sessions.length ? endpoint.sessions : [null];
    for (const session of sessions) {
      // The first session has the card of the endpoint, so that it stays where it is.
      const key = session && sessions.indexOf(session) ? `${number}/${session.id}` : `${number}`;
      wanted.add(key);
      let card = cards.get(key);
      if (!card) {
        card = new Card(key, number, send);
        cards.set(key, card);
        main.append(card.root);
      }
      const images = session ? endpoint.images.filter((image) => image.session === session.id) : [];
      card.show(endpoint, session, images);
    }
  });
  for (const [key, card] of cards) {
    if (!wanted.has(key)) {
      card.root.remove();
      cards.delete(key);
    }
  }
  follow();
  const up = message.endpoints.filter((endpoint) => endpoint.up).length;
  const count = message.endpoints.length;
  if (!paused) say(up === count ? `${count} endpoint${count === 1 ? "" : "s"}, live` : `${up} of ${count} endpoints answer`, up < count);
}

function follow() {
  const newest = [...cards.values()].reduce((best, card) => (best && best.lastStepAt >= card.lastStepAt ? best : card), null);
  for (const card of cards.values()) card.root.hidden = following && card !== newest;
}

function setPaused(now) {
  paused = now;
  const button = document.getElementById("pause");
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? "Resume" : "Pause";
  if (paused) say("Paused");
  else if (held) {
    held = false;
    next();
  }
}

function setFollowing(now) {
  following = now;
  document.getElementById("follow").setAttribute("aria-pressed", String(following));
  follow();
}

function changeTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("rlmesh-theme", root.dataset.theme);
  for (const card of cards.values()) card.plot.draw();
}

function moveFocus(by) {
  const roots = [...cards.values()].map((card) => card.root).filter((root) => !root.hidden);
  const at = roots.findIndex((root) => root.contains(document.activeElement));
  const target = roots[(at + by + roots.length) % roots.length];
  if (target) target.focus();
}

const theme = localStorage.getItem("rlmesh-theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
document.getElementById("pause").addEventListener("click", () => setPaused(!paused));
document.getElementById("follow").addEventListener("click", () => setFollowing(!following));
document.getElementById("theme").addEventListener("click", changeTheme);
ask.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("rlmesh-token", field.value);
  field.value = "";
  connect();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=range], [type=checkbox]), pre")) return;
  if (panel.key(event, true)) {
    event.preventDefault();
    return;
  }
  if (event.target.closest("input, summary")) return;
  const onButton = event.target.closest("button");
  if (event.key === " " && !onButton) setPaused(!paused);
  else if (event.key === "l") setFollowing(!following);
  else if (event.key === "t") changeTheme();
  else if (event.key === "ArrowRight") moveFocus(1);
  else if (event.key === "ArrowLeft") moveFocus(-1);
  else if (event.key === "f") {
    const card = [...cards.values()].find((each) => each.root.contains(document.activeElement));
    if (card) card.toggleFull();
  } else return;
  event.preventDefault();
});
document.addEventListener("keyup", (event) => panel.key(event, false));
// Nobody hears of a key that is let go elsewhere.
window.addEventListener("blur", () => panel.release());
// A browser that slept looks at once, and does not wait for the next try.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !socket && ask.hidden) {
    waiting = 500;
    connect();
  }
});
window.addEventListener("resize", () => { for (const card of cards.values()) card.plot.draw(); });
connect();
