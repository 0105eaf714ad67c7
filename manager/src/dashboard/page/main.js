// The page: what comes is drawn once a frame at most, and once a second for what only time changes.

import { ago, by, keep, make, say, show } from "./dom.js";
import { key, live } from "./live.js";
import { agents, sites } from "./agents.js";
import { agent } from "./agent.js";
import { disk } from "./disk.js";
import { log } from "./log.js";
import { screen } from "./screen.js";

const CHOSEN = "snowbird-agent";
// What was done well goes by itself.
const DONE_MS = 6000;

let state = null;
let chosen = sessionStorage.getItem(CHOSEN);
let offset = 0;
let standing = ["connecting", null];
let drawing = false;
const dismissed = new Set();
let complaints = [];

const now = () => Date.now() + offset;

function choose(name) {
  chosen = name;
  sessionStorage.setItem(CHOSEN, name);
  draw();
  by("agent").scrollIntoView({ block: "nearest" });
}

function complain(text) {
  complaints.push({ id: `c${complaints.length}`, agent: chosen, what: "", state: "failed", message: text });
  draw();
}

function draw() {
  if (!drawing) {
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      render();
    });
  }
}

function render() {
  const [word, heard] = standing;
  document.body.dataset.standing = word;
  const lost = heard ? `Connection lost, what is shown is ${ago(Date.now() - heard)} old` : "No connection";
  say(by("standing-text"), { live: "Live", connecting: "Connecting", lost }[word] ?? "");
  if (!state) {
    return;
  }
  show(by("page"), true);
  say(by("site"), state.site);
  const names = Object.keys(state.agents).sort();
  if (!names.includes(chosen)) {
    // Whoever moves is looked at first, else whoever runs.
    const first = (what) => names.find((name) => what(state.agents[name]));
    chosen = first((it) => it.moving) ?? first((it) => it.state === "running") ?? names[0] ?? null;
  }
  agents(state, chosen, now(), choose);
  sites(state, now());
  show(by("nobody"), !chosen && names.length);
  show(by("detail"), chosen);
  if (chosen) {
    const it = state.agents[chosen];
    document.title = `${chosen} – Snowbird`;
    agent(state, chosen, now(), complain);
    disk(chosen);
    screen(chosen, it);
    log(chosen, it.log, complain);
  }
  doings();
}

const SAID = { doing: "under way", done: "done", failed: "failed" };

function doings() {
  const told = Object.entries(state.doings).map(([id, it]) => ({ id, ...it }));
  const all = [...told, ...complaints].filter((it) => {
    const old = it.state === "done" && now() - it.ended_ms > DONE_MS;
    return !dismissed.has(it.id) && !old;
  });
  const create = (it) => {
    const child = make("div", { class: "doing" }, make("span", { class: "dot" }));
    child.words = make("div", {}, make("p"), make("p"));
    const away = make("button", { type: "button", "aria-label": "Dismiss" }, "×");
    away.addEventListener("click", () => {
      dismissed.add(it.id);
      draw();
    });
    child.append(child.words, away);
    return child;
  };
  keep(by("doings"), all.slice(-5), (it) => it.id, create, (child, it) => {
    child.dataset.state = it.state;
    const [head, more] = child.words.children;
    say(head, it.what ? `${it.agent}: ${it.what}, ${SAID[it.state]}` : "That could not be asked for");
    say(more, [it.message, it.hint].filter(Boolean).join(". "));
  });
}

function closed(title, text) {
  show(by("page"), false);
  show(by("closed"), true);
  say(by("closed-title"), title);
  say(by("closed-text"), text);
}

by("filter").addEventListener("input", draw);
setInterval(draw, 1000);

if (key) {
  live({
    now(ms) {
      offset = ms - Date.now();
    },
    whole(document) {
      state = document;
      draw();
    },
    change(document) {
      state = document;
      draw();
    },
    standing(word, heard) {
      standing = [word, heard];
      if (word === "closed") {
        closed("This is another dashboard", "It was begun anew since, or it is somebody else's. Open the address that `snowbird dashboard` printed last.");
      }
      draw();
    },
  });
} else {
  standing = ["closed", null];
  closed("A key is missing", "Open the whole address that `snowbird dashboard` printed: what stands behind its # is the key.");
  draw();
}
