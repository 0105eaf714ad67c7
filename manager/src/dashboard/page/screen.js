// The chosen agent's screen: noVNC through the display proxy, which follows the agent.
//
// It is only looked at until control is taken, and again when it is let go, hidden, or another agent is chosen. Control is this page's own
// affair: the proxy hears every viewer that types, so whoever else looks is told of and shut out by nobody.

import { by, many, say, show } from "./dom.js";
import { key } from "./live.js";

const WAITS_S = [1, 2, 4, 8];

let RFB = null;
let rfb = null;
let name = null;
let failures = 0;
let timer = null;
let control = false;
// What is known of the chosen agent.
let it = null;

function close() {
  clearTimeout(timer);
  timer = null;
  failures = 0;
  rfb?.disconnect();
  rfb = null;
  name = null;
  for (const id of ["screen-place", "control", "cad"]) {
    show(by(id), false);
  }
  say(by("screen-open"), "Show");
  by("screen-open").setAttribute("aria-expanded", "false");
  by("screen-card").dataset.standing = "closed";
  take(false);
}

// Keyboard and pointer go to the agent from now on, or no more.
function take(wanted) {
  control = wanted;
  by("control").setAttribute("aria-pressed", String(control));
  say(by("control"), control ? "Let go" : "Take control");
  by("cad").disabled = !control;
  by("screen-card").dataset.control = control ? "taken" : "free";
  if (rfb && !control) {
    // Once it only looks noVNC sends nothing, not even that held keys are let go of; when the window loses the keyboard it does.
    window.dispatchEvent(new Event("blur"));
    rfb.blur();
  }
  if (rfb) {
    rfb.viewOnly = !control;
  }
  if (rfb && control) {
    rfb.focus();
  }
  explain();
}

const runs = (agent) => agent.state !== "off" && agent.state !== "suspended";
const NOTHING = "There is nothing to see: it has no machine now.";
const LAST = "This is its last picture: it has no machine now.";

// Who has the keyboard and the pointer, and who else may type.
function explain() {
  const standing = by("screen-card").dataset.standing;
  if (standing !== "closed" && it && !runs(it)) {
    // (When it has one again its screen is here again.)
    say(by("screen-text"), standing === "shown" ? LAST : NOTHING);
    return;
  }
  if (standing !== "shown") {
    return;
  }
  if (it?.view?.held) {
    say(by("screen-text"), "The agent moves: what is typed waits for it.");
    return;
  }
  const others = Math.max(0, (it?.view?.viewers ?? 1) - 1);
  const too = others ? ` ${many(others, "other viewer")} may type, too.` : "";
  const has = by("screen").contains(document.activeElement);
  const own = has ? "You have control: keyboard and pointer go to the agent." : "You have control: click on the screen to type.";
  say(by("screen-text"), (control ? own : "You only look: nothing that you type or point at goes to the agent.") + too);
}

// Another agent's screen is shown when it is asked for.
export function screen(chosen, agent) {
  it = agent;
  if (name !== null && name !== chosen) {
    close();
  }
  if (name === null) {
    by("screen-open").disabled = !runs(agent);
    say(by("screen-text"), runs(agent) ? "" : NOTHING);
    by("screen-open").dataset.agent = chosen;
  } else {
    explain();
  }
}

async function open() {
  name = by("screen-open").dataset.agent;
  show(by("screen-place"), true);
  say(by("screen-open"), "Hide");
  by("screen-open").setAttribute("aria-expanded", "true");
  say(by("screen-text"), "Connecting");
  try {
    RFB ??= (await import("../novnc/core/rfb.js")).default;
  } catch (fault) {
    const answer = await fetch("novnc/core/rfb.js").catch(() => null);
    say(by("screen-text"), answer?.status === 404 ? await answer.text() : String(fault));
    show(by("screen-place"), false);
    return;
  }
  connect();
}

function connect() {
  const chosen = name;
  const address = new URL(`screen?agent=${chosen}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  // A WebSocket can say its key in no other place that is not written down.
  rfb = new RFB(by("screen"), address.href, { wsProtocols: ["binary", `key.${key}`] });
  rfb.scaleViewport = true;
  rfb.background = "transparent";
  rfb.viewOnly = !control;
  rfb.addEventListener("connect", () => {
    failures = 0;
    by("screen-card").dataset.standing = "shown";
    for (const id of ["control", "cad"]) {
      show(by(id), true);
    }
    take(control);
  });
  rfb.addEventListener("disconnect", () => {
    if (name !== chosen) {
      return;
    }
    rfb = null;
    by("screen-card").dataset.standing = "gone";
    const wait = WAITS_S[Math.min(failures, WAITS_S.length - 1)];
    failures += 1;
    say(by("screen-text"), it && !runs(it) ? NOTHING : `Its display cannot be reached. Trying again in ${wait} s.`);
    timer = setTimeout(connect, wait * 1000);
  });
}

by("screen-open").addEventListener("click", () => (name === null ? open() : close()));
by("control").addEventListener("click", () => take(!control));
for (const what of ["focusin", "focusout"]) {
  // (The one that has the keyboard is known when the event is over.)
  by("screen").addEventListener(what, () => setTimeout(explain));
}
by("cad").addEventListener("click", () => {
  rfb?.sendCtrlAltDel();
  rfb?.focus();
});
window.addEventListener("pagehide", close);
