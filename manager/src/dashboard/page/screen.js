// The chosen agent's screen: noVNC through the display proxy, which follows the agent. Only looked at, until somebody takes control.

import { by, say, show } from "./dom.js";
import { key } from "./live.js";

const WAITS_S = [1, 2, 4, 8];

let RFB = null;
let rfb = null;
let name = null;
let failures = 0;
let timer = null;

function close() {
  clearTimeout(timer);
  timer = null;
  failures = 0;
  rfb?.disconnect();
  rfb = null;
  name = null;
  by("control").checked = false;
  for (const id of ["screen-place", "control-label", "cad"]) {
    show(by(id), false);
  }
  say(by("screen-open"), "Show");
  by("screen-open").setAttribute("aria-expanded", "false");
  by("screen-card").dataset.standing = "closed";
}

// Another agent's screen is shown when it is asked for.
export function screen(chosen, agent) {
  if (name !== null && name !== chosen) {
    close();
  }
  if (name === null) {
    const runs = agent.state !== "off" && agent.state !== "suspended";
    by("screen-open").disabled = !runs;
    say(by("screen-text"), runs ? "" : "There is nothing to see: it has no machine now.");
    by("screen-open").dataset.agent = chosen;
  } else if (rfb && by("screen-card").dataset.standing === "shown") {
    say(by("screen-text"), agent.view?.held ? "The agent moves: what is typed waits for it." : "");
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
  look();
  rfb.addEventListener("connect", () => {
    failures = 0;
    by("screen-card").dataset.standing = "shown";
    say(by("screen-text"), "");
    show(by("control-label"), true);
    show(by("cad"), true);
  });
  rfb.addEventListener("disconnect", () => {
    if (name !== chosen) {
      return;
    }
    rfb = null;
    by("screen-card").dataset.standing = "gone";
    const wait = WAITS_S[Math.min(failures, WAITS_S.length - 1)];
    failures += 1;
    say(by("screen-text"), `Its display cannot be reached. Trying again in ${wait} s.`);
    timer = setTimeout(connect, wait * 1000);
  });
}

function look() {
  if (rfb) {
    rfb.viewOnly = !by("control").checked;
  }
  by("cad").disabled = !by("control").checked;
}

by("screen-open").addEventListener("click", () => (name === null ? open() : close()));
by("control").addEventListener("change", () => {
  look();
  if (by("control").checked) {
    rfb?.focus();
  }
});
by("cad").addEventListener("click", () => {
  rfb?.sendCtrlAltDel();
  rfb?.focus();
});
window.addEventListener("pagehide", close);
