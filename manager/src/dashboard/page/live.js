// The document and its changes, over one answer that does not end; connected again when it does.
//
// The key stands behind the # of the address that was printed. It is taken from there into this tab's own storage, so that
// a reload works and the address bar shows it no longer.

const STORED = "snowbird-key";
// The server says something every 5 s.
const SILENT_MS = 15000;
const WAITS_MS = [500, 1000, 2000, 4000, 8000];

export const key = (() => {
  const given = /^#([0-9a-f]{64})$/.exec(location.hash)?.[1];
  if (given) {
    sessionStorage.setItem(STORED, given);
    history.replaceState(null, "", location.pathname);
  }
  return given ?? sessionStorage.getItem(STORED);
})();

const headers = () => ({ Authorization: `Bearer ${key}` });

// An answer of JSON, or an error with the program's own sentence.
export async function ask(path) {
  const answer = await fetch(path, { headers: headers(), cache: "no-store" });
  if (!answer.ok) {
    throw new Error(await answer.text());
  }
  return answer.json();
}

export async function wish(words) {
  const answer = await fetch("do", {
    method: "POST", body: JSON.stringify(words), headers: { ...headers(), "Content-Type": "application/json" },
  });
  if (!answer.ok) {
    throw new Error(await answer.text());
  }
  return answer.json();
}

// RFC 7396.
export function apply(document, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) {
    return patch;
  }
  const whole = document !== null && typeof document === "object" && !Array.isArray(document) ? document : {};
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) {
      delete whole[name];
    } else {
      whole[name] = apply(whole[name], change);
    }
  }
  return whole;
}

// Tells `on.whole(document)`, `on.change(document, patch)`, `on.standing(word, since)`.
export async function live(on) {
  let failures = 0;
  let heard = null;
  for (;;) {
    const why = await once(on, () => {
      failures = 0;
      heard = Date.now();
    });
    if (why === "closed") {
      on.standing("closed");
      return;
    }
    on.standing("lost", heard);
    await pause(WAITS_MS[Math.min(failures, WAITS_MS.length - 1)]);
    failures += 1;
  }
}

// Until the time is over, or the network or the user is back.
function pause(ms) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      window.removeEventListener("online", end);
      done();
    };
    const timer = setTimeout(end, ms);
    window.addEventListener("online", end);
  });
}

async function once(on, heard) {
  const ends = new AbortController();
  let watch;
  const alive = () => {
    clearTimeout(watch);
    watch = setTimeout(() => ends.abort(), SILENT_MS);
  };
  try {
    alive();
    const answer = await fetch("live", { headers: headers(), cache: "no-store", signal: ends.signal });
    if (answer.status === 401) {
      return "closed";
    }
    if (!answer.ok) {
      throw new Error(await answer.text());
    }
    let document = null;
    let rest = "";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        return "ended";
      }
      alive();
      heard();
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(part) ?? [];
        const told = JSON.parse(data);
        if (name === "whole") {
          document = told.document;
          on.now(told.now_ms);
          on.whole(document);
          on.standing("live");
        } else if (name === "now") {
          on.now(told);
        } else {
          document = apply(document, told);
          on.change(document, told);
        }
      }
    }
  } catch (fault) {
    return String(fault);
  } finally {
    clearTimeout(watch);
    ends.abort();
  }
}
