// The chosen agent: its head, what can be done with it, a move, what it does by itself, its charts.

import { ago, by, bytes, keep, make, many, say, show } from "./dom.js";
import { chart, round } from "./chart.js";
import { wish } from "./live.js";

const percent = (share) => `${Math.round(share * 100)} %`;
const rate = (count) => `${bytes(count)}/s`;
const charts = [
  chart("Processors", [
    { name: "busiest", pick: (point) => point[1], words: percent },
    { name: "host", pick: (point) => point[2], words: percent },
  ], () => 1),
  chart("Network", [
    { name: "to it", pick: (point) => point[3], words: rate },
    { name: "from it", pick: (point) => point[4], words: rate },
    { name: "waits for what is far", pick: (point) => point[8], words: percent, drawn: false },
  ], (greatest) => round(greatest / 1024, 1) * 1024),
  chart("Display", [
    { name: "frames", pick: (point) => point[5], words: (value) => `${Math.round(value)}/s` },
  ], (greatest) => Math.max(60, greatest)),
  chart("Answers", [
    { name: "after", pick: (point) => point[7], words: (value) => `${Math.round(value)} ms` },
    { name: "inputs", pick: (point) => point[6], words: (value) => `${Math.round(value)} in 10 s`, drawn: false },
  ], (greatest) => round(greatest, 100)),
];
by("charts-place").append(...charts.map((it) => it.element));

const COMING = ["leaving", "arriving", "launching", "suspending", "resuming"];
const MODES = {
  off: "Nothing is decided: it stays where it is until somebody moves it.",
  advise: "What would be done is told in its log, and nothing is done.",
  auto: "It moves by itself.",
};
// What was just chosen is shown until it is known.
const SOON_MS = 3000;
let shown = null;
let mode = null;
// Of whom it was offered to go on, and where.
let offered = null;

export function agent(document, name, now, complain) {
  const it = document.agents[name];
  const state = it.state ?? "unknown";
  if (shown !== name) {
    shown = name;
    say(by("name"), name);
  }
  by("detail").dataset.state = state;
  const where = it.moving ? `${it.moving.from} → ${it.moving.to}` : it.site;
  const does = it.does ?? it.told ?? "not heard yet";
  say(by("does"), `${does[0].toUpperCase()}${does.slice(1)}${where && state !== "leaving" ? `, at ${where}` : ""}`);
  const shows = it.view ? `, ${many(it.view.viewers ?? 0, "viewer")}` : "";
  say(by("facts"), `${many(it.vcpus, "processor")}, ${bytes(it.memory_bytes)}, by ${it.accelerator === "kvm" ? "KVM" : "translation"} · home ${it.home}${shows}`);
  alarm(it, now);
  actions(document, name, it, state, complain);
  moving(it);
  auto(name, it);
  show(by("charts"), !["off", "suspended"].includes(state));
  for (const one of charts) {
    one.update(it.samples ?? {}, now / 1000);
  }
}

function alarm(it, now) {
  const words = [];
  if (it.silent) {
    words.push(`Not heard for ${ago(now - (it.heard_ms ?? now))}, what is shown is of then: ${it.silent}.`);
  }
  if (it.last_failure && !it.moving) {
    words.push(`Last move or suspension: ${it.last_failure}.`);
    if (it.last_failure_hint) {
      words.push(`Hint: ${it.last_failure_hint}.`);
    }
  }
  say(by("alarm"), words.join(" "));
  show(by("alarm"), words.length);
}

function actions(document, name, it, state, complain) {
  const others = Object.keys(document.sites).filter((site) => site !== it.site).sort();
  const places = state === "suspended" ? [it.site, ...others] : others;
  show(by("move-pair"), ["running", "suspended"].includes(state) && places.length);
  say(by("move"), state === "suspended" ? "Resume" : "Move");
  say(by("to-label"), state === "suspended" ? "At site" : "To site");
  keep(by("to"), places, (site) => site, (site) => make("option", { value: site }, site));
  const offer = state === "suspended" ? `${name} ${it.site}` : null;
  if (offer && offer !== offered) {
    // What was chosen for a move says nothing of where its user wants to go on.
    by("to").value = it.site;
  }
  offered = offer;
  show(by("cancel"), ["leaving", "suspending"].includes(state));
  show(by("launch"), ["off", "paused"].includes(state));
  say(by("launch"), state === "paused" ? "Go on" : "Launch");
  show(by("suspend"), state === "running");
  show(by("shutdown"), state === "running");
  const ask = (words) => () => wish({ ...words(), agent: name }).catch((fault) => complain(fault.message));
  by("move").onclick = ask(() => state === "suspended"
    ? { do: "resume", ...(by("to").value === it.site ? {} : { at: by("to").value }) }
    : { do: "migrate", to: by("to").value });
  by("cancel").onclick = ask(() => ({ do: "cancel" }));
  by("launch").onclick = ask(() => ({ do: "launch" }));
  by("suspend").onclick = ask(() => ({ do: "suspend" }));
  by("shutdown").onclick = ask(() => ({ do: "shutdown" }));
  by("auto").onchange = (event) => {
    mode = { name, value: event.target.value, until: Date.now() + SOON_MS };
    ask(() => ({ do: "auto", mode: event.target.value }))();
  };
  for (const id of ["move", "suspend", "shutdown"]) {
    by(id).disabled = COMING.includes(state);
  }
}

function moving(it) {
  const to = it.moving;
  show(by("moving"), to);
  if (!to) {
    return;
  }
  say(by("moving-title"), `Moving from ${to.from} to ${to.to}${to.step ? `: ${to.step}` : ""}`);
  if (to.percent === undefined) {
    by("progress").removeAttribute("value");
  } else {
    by("progress").value = to.percent;
  }
  const facts = [
    ["Memory", to.percent === undefined ? "–" : `${to.percent} %`],
    ["Sent", to.sent_bytes === undefined ? "–" : bytes(to.sent_bytes)],
    ["Remains", to.remaining_bytes === undefined ? "–" : bytes(to.remaining_bytes)],
    ["Rate", to.bytes_per_s === undefined ? "–" : rate(to.bytes_per_s)],
    ["Written meanwhile", to.dirty_bytes_per_s === undefined ? "–" : rate(to.dirty_bytes_per_s)],
    ["Until it is there", to.left ?? "–"],
    ["The agent", to.stands ? "stands" : "goes on"],
  ];
  keep(by("moving-facts"), facts, ([what]) => what, ([what]) => make("div", {}, make("dt", {}, what), make("dd")), (child, [, words]) => {
    say(child.lastChild, words);
  });
}

function auto(name, it) {
  const chosen = mode?.name === name && Date.now() < mode.until ? mode.value : it.mode ?? "off";
  for (const input of by("auto").querySelectorAll("input")) {
    input.checked = input.value === chosen;
  }
  const words = [MODES[chosen]];
  if (it.profile_state) {
    words.push(`By the profile ${it.profile} it is in the phase ${it.profile_state}.`);
  }
  if (it.rests_because) {
    words.push(`Nothing is decided now: ${it.rests_because}.`);
  }
  if (it.stays_for_s) {
    words.push(`It is to stay for another ${ago(it.stays_for_s * 1000)}.`);
  }
  const lines = [words.join(" "), ...(it.would_move ?? [])];
  keep(by("auto-text"), lines.map((text, at) => ({ text, at })), (line) => line.at, () => make("p"), (child, line) => say(child, line.text));
}
