// The proxy's page: noVNC draws the screen, and this says how it stands and connects again.
//
// Once a second the proxy is asked how it stands (/state): whether the agent moves, and how many updates it sent
// to this viewer, which it knows by a random name. The password is kept in memory only, for connecting again;
// the computer's own clipboard is neither read nor written.

const by = (id) => document.getElementById(id);
const name = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
// How good the JPEG of what moves is; what stands still is sent again as it is.
const quality = new URLSearchParams(location.search).get("quality");

const ASK_EVERY_MS = 1000;
const ASK_TIMEOUT_MS = 5000;
const WAITS_S = [1, 2, 4, 8];
const MOVING = ["switching", "away"];

let RFB;
let rfb = null;
let connected = false;
let password = null;
let refusal = null;
let failures = 0;
let waiting = null;
let state = null;
// The updates that were sent so far, and how many a second.
let last = null;
let rate = null;
// How long the last questions took: the shortest is the way there, the others were kept waiting.
let took = [];

function show() {
  let standing = "connecting";
  let text = failures ? "Disconnected" : "Connecting";
  if (connected && state && MOVING.includes(state.phase)) {
    [standing, text] = ["moving", "The agent is moving"];
  } else if (connected) {
    standing = "connected";
    text = state && state.phase !== "attached" ? "Connected, a move is prepared" : "Connected";
  } else if (!rfb || failures) {
    standing = "gone";
  }
  document.body.dataset.standing = standing;
  by("standing").textContent = text;
  by("cad").disabled = by("clips-open").disabled = !connected || (rfb && rfb.viewOnly);
  if (!connected) {
    by("desktop").textContent = by("figures").textContent = "";
  }
}

function notice(title, text) {
  by("notice").hidden = !title;
  by("notice-title").textContent = title || "";
  by("notice-text").textContent = text || "";
}

// How it stands, and how long the question took.
async function ask() {
  const began = performance.now();
  try {
    const answer = await fetch(`state?id=${name}`, { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) });
    state = answer.ok ? await answer.json() : null;
  } catch {
    state = null;
  }
  const now = performance.now();
  if (state) {
    took = [...took, now - began].slice(-5);
    figures(now, Math.min(...took));
    by("look").disabled = state.view_only;
    if (state.view_only) {
      by("look").checked = true;
      look();
    }
  }
  show();
}

function figures(now, near) {
  const words = [state.size.join(" × ")];
  const counted = state.updates === null ? null : { at: now, updates: state.updates };
  if (!counted || !last || counted.updates < last.updates) {
    [last, rate] = [counted, null];
  } else if (now - last.at >= ASK_EVERY_MS / 2) {
    // Of two questions that come close together nothing can be told.
    rate = (counted.updates - last.updates) / ((now - last.at) / 1000);
    last = counted;
  }
  if (rate !== null) {
    words.push(`${rate < 9.95 ? rate.toFixed(rate < 0.05 ? 0 : 1) : rate.toFixed(0)} frames/s`);
  }
  const far = state.rtt_ms;
  words.push(`round trip ${Math.max(1, Math.round(near + (far || 0)))} ms`);
  by("figures").textContent = words.join(" · ");
  const there = far === null ? "not known" : `${far.toFixed(1)} ms`;
  by("figures").title = `To the proxy ${near.toFixed(1)} ms; from there to the agent ${there}`;
}

async function keepAsking() {
  await ask();
  setTimeout(keepAsking, ASK_EVERY_MS);
}

function look() {
  if (rfb) {
    rfb.viewOnly = by("look").checked;
  }
  show();
}

function connect() {
  clearTimeout(waiting);
  waiting = null;
  notice(null);
  const address = new URL("websockify", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.search = `id=${name}`;
  refusal = null;
  [last, rate] = [null, null];
  rfb = new RFB(by("screen"), address.href, { wsProtocols: ["binary"] });
  rfb.scaleViewport = true;
  rfb.background = "transparent";
  rfb.viewOnly = by("look").checked;
  if (/^[0-9]$/.test(quality || "")) {
    rfb.qualityLevel = Number(quality);
  }
  rfb.addEventListener("connect", () => {
    connected = true;
    failures = 0;
    ask();
    if (by("clips").hidden) {
      rfb.focus();
    }
  });
  rfb.addEventListener("disconnect", disconnected);
  rfb.addEventListener("desktopname", (event) => {
    by("desktop").textContent = event.detail.name;
    document.title = `${event.detail.name} – Snowbird`;
  });
  rfb.addEventListener("credentialsrequired", () => {
    if (password === null) {
      askPassword("This display asks for a password.");
    } else {
      rfb.sendCredentials({ password });
    }
  });
  rfb.addEventListener("securityfailure", (event) => {
    refusal = event.detail.reason || "It was not the right one.";
    password = null;
  });
  rfb.addEventListener("clipboard", (event) => {
    by("clip").value = event.detail.text;
  });
  show();
}

async function disconnected() {
  rfb = null;
  connected = false;
  failures += 1;
  await ask();
  if (by("ask").open) {
    return;
  }
  if (refusal !== null) {
    askPassword(refusal);
    return;
  }
  wait(WAITS_S[Math.min(failures, WAITS_S.length) - 1]);
}

// Counts down and connects again.
function wait(seconds) {
  if (seconds <= 0) {
    connect();
    return;
  }
  const why = state === null ? "The proxy does not answer." : state.full ? "All seats for viewers are taken." : "The proxy ended the connection.";
  notice("Disconnected", `${why} Trying again in ${seconds} s.`);
  waiting = setTimeout(() => wait(seconds - 1), 1000);
}

function askPassword(why) {
  notice(null);
  by("ask-why").textContent = why;
  by("password").value = "";
  if (!by("ask").open) {
    by("ask").showModal();
  }
}

by("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  password = by("password").value;
  by("ask").close();
  if (rfb) {
    rfb.sendCredentials({ password });
  } else {
    connect();
  }
});
by("ask").addEventListener("cancel", cancelled);
by("ask-cancel").addEventListener("click", () => {
  by("ask").close();
  cancelled();
});
function cancelled() {
  if (rfb) {
    rfb.removeEventListener("disconnect", disconnected);
    rfb.disconnect();
    rfb = null;
  }
  failures += 1;
  notice("Not connected", "Without its password the display cannot be shown.");
  show();
}

by("again").addEventListener("click", () => RFB && connect());
by("look").addEventListener("change", look);
by("cad").addEventListener("click", () => {
  rfb.sendCtrlAltDel();
  rfb.focus();
});
by("clips-open").addEventListener("click", () => {
  const clips = by("clips");
  clips.hidden = !clips.hidden;
  by("clips-open").setAttribute("aria-expanded", String(!clips.hidden));
  (clips.hidden && rfb ? rfb : by("clip")).focus();
});
by("clip").addEventListener("input", () => {
  if (connected) {
    rfb.clipboardPasteFrom(by("clip").value);
  }
});
by("full").addEventListener("click", () => {
  (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => {});
  if (rfb) {
    rfb.focus();
  }
});
// Back from a sleep or a network that was away, nobody wants to wait for the countdown.
window.addEventListener("online", () => {
  if (waiting !== null) {
    connect();
  }
});

show();
try {
  ({ default: RFB } = await import("./novnc/core/rfb.js"));
} catch (fault) {
  const answer = await fetch("novnc/core/rfb.js").catch(() => null);
  const missing = answer && answer.status === 404;
  failures = 1;
  show();
  notice("noVNC cannot be loaded", missing ? await answer.text() : String(fault));
  by("again").textContent = "Load again";
  by("again").addEventListener("click", () => location.reload());
}
keepAsking();
if (RFB) {
  connect();
}
