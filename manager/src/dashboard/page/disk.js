// The maps of an agent's disk, one a site: each cell is some neighbouring chunks, filled by how many are in which state.

import { ago, by, bytes, keep, make, many, say, show } from "./dom.js";
import { ask } from "./live.js";

const EVERY_MS = 5000;
const CELL = 11;
const GAP = 2;
// Drawn from below in this order; what is left of a cell was never written.
const BANDS = ["alone", "held", "stale", "absent", "zero"];
const NAMES = { held: "held", alone: "only here", stale: "stale", absent: "absent", zero: "zero", never: "never written" };

let wanted = null;
let map = null;
let colours = {};

by("legend").append(...["held", "alone", "stale", "absent", "zero", "never"].map((name) => {
  const entry = make("li", {}, NAMES[name]);
  entry.style.setProperty("--ink", `var(--${name})`);
  return entry;
}));

// Asks while an agent is looked at.
export function disk(name) {
  if (wanted !== name) {
    wanted = name;
    map = null;
    by("replicas").replaceChildren();
    say(by("disk-facts"), "Where its chunks are is being asked.");
    look(name);
  }
}

async function look(name) {
  if (wanted !== name) {
    return;
  }
  if (!document.hidden) {
    try {
      const told = await ask(`map?agent=${name}`);
      if (wanted === name) {
        map = told;
        draw();
      }
    } catch (fault) {
      if (wanted === name) {
        const age = map ? ` What is shown is ${ago(Date.now() - map.at_ms)} old.` : "";
        say(by("disk-facts"), `${fault.message}.${age}`);
      }
    }
  }
  setTimeout(() => look(name), EVERY_MS);
}

function draw() {
  const size = map.chunks * map.chunk_size;
  const cell = map.chunks_per_cell === 1 ? "a cell a chunk" : `a cell ${many(map.chunks_per_cell, "chunk")}`;
  say(by("disk-facts"), `${map.disk}: ${bytes(size)} in ${many(map.chunks, "chunk")} of ${bytes(map.chunk_size)}, ${cell} · resident at ${map.resident}, epoch ${map.epoch}`);
  colours = inks();
  const create = () => {
    const child = make("div", { class: "replica" });
    child.name = make("span", { class: "name" });
    child.words = make("span", { class: "quiet" });
    child.why = make("p", { class: "bad" });
    child.canvas = make("canvas", { role: "img" });
    child.append(make("div", { class: "row" }, child.name, child.words), child.why, child.canvas);
    return child;
  };
  keep(by("replicas"), map.replicas, (replica) => replica.site, create, (child, replica) => {
    say(child.name, replica.site === map.resident ? `${replica.site} (resident)` : replica.site);
    const words = inWords(replica);
    say(child.words, words);
    say(child.why, replica.why ? `${replica.why}. ${replica.known_held ? "Shown is what is known of it here." : ""}` : "");
    show(child.why, replica.why);
    show(child.canvas, replica.held || replica.known_held);
    child.canvas.setAttribute("aria-label", `Chunks at ${replica.site}: ${words}`);
    grid(child.canvas, replica);
  });
}

// What the style's colours are now: a canvas knows neither variables nor light and dark.
function inks() {
  const probe = make("span");
  by("legend").append(probe);
  const style = getComputedStyle(probe);
  const all = Object.keys(NAMES).map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, style.color];
  });
  probe.remove();
  return Object.fromEntries(all);
}

const sum = (list) => list.reduce((all, one) => all + one, 0);

function inWords(replica) {
  if (!replica.held) {
    return replica.known_held ? `at least ${sum(replica.known_held)} held` : "";
  }
  const words = [`${sum(replica.held)} of ${sum(replica.written)} held`];
  for (const [list, name] of [["stale", "stale"], ["absent", "absent"], ["only_here", "only here"]]) {
    const count = sum(replica[list]);
    if (count) {
      words.push(`${count} ${name}`);
    }
  }
  return words.join(", ");
}

// The states of a cell's chunks, as counts that do not overlap.
function bands(replica, at) {
  if (!replica.held) {
    return { held: replica.known_held[at] };
  }
  const [alone, zero] = [replica.only_here[at], replica.zero[at]];
  return { alone, zero, held: Math.max(0, replica.held[at] - alone - zero), stale: replica.stale[at], absent: replica.absent[at] };
}

function grid(canvas, replica) {
  const cells = (replica.held ?? replica.known_held)?.length ?? 0;
  const width = canvas.clientWidth || canvas.parentElement.clientWidth;
  if (!cells || !width) {
    return;
  }
  const columns = Math.max(1, Math.min(cells, Math.floor((width + GAP) / (CELL + GAP))));
  const rows = Math.ceil(cells / columns);
  const scale = window.devicePixelRatio || 1;
  const height = rows * (CELL + GAP) - GAP;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.height = `${height}px`;
  const paint = canvas.getContext("2d");
  paint.scale(scale, scale);
  for (let at = 0; at < cells; at += 1) {
    const x = (at % columns) * (CELL + GAP);
    const top = Math.floor(at / columns) * (CELL + GAP);
    const whole = Math.min(map.chunks_per_cell, map.chunks - at * map.chunks_per_cell);
    const counts = bands(replica, at);
    paint.save();
    paint.beginPath();
    paint.roundRect(x, top, CELL, CELL, 2.5);
    paint.clip();
    paint.fillStyle = colours.never;
    paint.fillRect(x, top, CELL, CELL);
    let filled = 0;
    for (const band of BANDS) {
      if (counts[band]) {
        // What is there at all is seen.
        const share = Math.max(1.5, (counts[band] / whole) * CELL);
        paint.fillStyle = colours[band];
        paint.fillRect(x, top + CELL - Math.min(CELL, filled + share), CELL, share);
        filled += (counts[band] / whole) * CELL;
      }
    }
    paint.restore();
  }
}

const again = () => map && draw();
new ResizeObserver(again).observe(by("replicas"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
document.addEventListener("visibilitychange", again);
