// The chosen agent's log, newest first: the newest lines come by themselves, older ones when they are asked for.

import { by, clock, keep, make, say, show } from "./dom.js";
import { ask } from "./live.js";

const DECIDED = ["decision", "review", "account", "note"];
const KINDS = { decision: "decision", review: "what came of it", account: "move" };
// So many lines are in the page at first, and so many more each time.
const STEP = 100;

let shown = null;
let older = new Map();
let more = true;
let room = STEP;
let lines = {};
let complain = () => {};

export function log(name, told, complains) {
  complain = complains;
  if (shown !== name) {
    shown = name;
    older = new Map();
    more = true;
    room = STEP;
  }
  lines = told ?? {};
  draw();
}

function all() {
  const every = new Map([...older, ...Object.entries(lines).map(([id, line]) => [Number(id), line])]);
  const wanted = by("decided").checked ? (line) => DECIDED.includes(line.kind) : () => true;
  return [...every].filter(([, line]) => wanted(line)).sort(([a], [b]) => b - a);
}

function draw() {
  const every = all();
  const create = ([, line]) => {
    const text = make("p", {}, line.text);
    if (KINDS[line.kind]) {
      text.prepend(make("span", { class: "kind" }, KINDS[line.kind]));
    }
    return make("li", {}, make("time", { datetime: new Date(line.at_ms).toISOString() }, clock(line.at_ms)), text);
  };
  keep(by("log"), every.slice(0, room), ([id]) => `${shown}/${id}`, create);
  show(by("log-none"), !every.length);
  show(by("older"), more || every.length > room);
}

by("decided").addEventListener("change", draw);
by("older").addEventListener("click", async () => {
  const name = shown;
  room += STEP;
  if (all().length < room && more) {
    const oldest = Math.min(...Object.keys(lines).map(Number), ...older.keys());
    say(by("older"), "Older lines are read");
    try {
      const told = await ask(`log?agent=${name}${Number.isFinite(oldest) ? `&before=${oldest}` : ""}`);
      if (shown === name) {
        told.lines.forEach(([id, line]) => older.set(id, line));
        more = told.more;
      }
    } catch (fault) {
      complain(fault.message);
    }
    say(by("older"), "Older lines");
  }
  draw();
});
