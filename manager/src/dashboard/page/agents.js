// The two lists at the side: agents and sites.

import { ago, by, bytes, keep, make, many, say, show } from "./dom.js";
import { drawSpark, spark } from "./chart.js";

// From so many agents on they can be searched.
const MANY = 9;
const FAR_MS = 200;

function item(tag) {
  const parts = {
    label: make("span", { class: "label" }),
    figure: make("span", { class: "figure" }),
    under: make("span", { class: "under" }),
  };
  const inner = make(tag, { class: "item" }, make("span", { class: "dot" }), parts.label, parts.figure, parts.under);
  const outer = make("li", {}, inner);
  return Object.assign(outer, { inner, parts });
}

export function agents(document, chosen, now, choose) {
  const names = Object.keys(document.agents).sort();
  const wanted = by("filter").value.trim().toLowerCase();
  const shown = names.filter((name) => name.toLowerCase().includes(wanted));
  say(by("agents-count"), names.length ? String(names.length) : "");
  show(by("filter"), names.length >= MANY);
  show(by("agents-none"), !names.length);
  const create = (name) => {
    const child = item("button");
    child.inner.type = "button";
    child.parts.place = make("small");
    child.parts.name = make("span", {}, name);
    child.parts.label.append(child.parts.name, child.parts.place);
    child.parts.spark = spark();
    child.parts.figure.append(child.parts.spark);
    child.inner.addEventListener("click", () => choose(name));
    return child;
  };
  keep(by("agents"), shown, (name) => name, create, (child, name) => {
    const agent = document.agents[name];
    child.inner.dataset.state = agent.state ?? "unknown";
    child.inner.dataset.silent = String(Boolean(agent.silent));
    child.inner.setAttribute("aria-current", String(name === chosen));
    const place = agent.moving ? `${agent.moving.from} → ${agent.moving.to}` : agent.site;
    say(child.parts.place, place);
    say(child.parts.under, agent.silent ? `not heard for ${ago(now - (agent.heard_ms ?? now))}` : agent.does ?? agent.told);
    drawSpark(child.parts.spark, agent.samples ?? {}, (point) => point[1], now / 1000, 1);
  });
}

export function sites(document, now) {
  const names = Object.keys(document.sites).sort((a, b) => (b === document.site) - (a === document.site) || (a < b ? -1 : 1));
  show(by("sites-none"), names.length === 1);
  const create = (name) => {
    const child = item("div");
    child.parts.name = make("span", {}, name);
    child.parts.note = make("small");
    child.parts.label.append(child.parts.name, child.parts.note);
    child.parts.spark = spark();
    child.parts.rtt = make("span");
    child.parts.figure.append(child.parts.spark, child.parts.rtt);
    return child;
  };
  keep(by("sites"), names, (name) => name, create, (child, name) => {
    const site = document.sites[name];
    const state = site.state ?? "unknown";
    child.inner.dataset.state = state;
    say(child.parts.note, site.here ? "here" : "");
    say(child.parts.rtt, state === "answers" ? `${site.rtt_ms < 10 ? site.rtt_ms.toFixed(1) : Math.round(site.rtt_ms)} ms` : "");
    const greatest = Math.max(FAR_MS / 10, ...Object.values(site.samples ?? {}));
    drawSpark(child.parts.spark, state === "answers" ? site.samples ?? {} : {}, (ms) => ms, now / 1000, greatest * 1.2);
    say(child.parts.under, under(document, name, site, state, now));
    child.inner.title = site.why ?? "";
  });
}

function under(document, name, site, state, now) {
  if (state === "silent") {
    const since = site.heard_ms ? `for ${ago(now - site.heard_ms)}` : "so far";
    return `does not answer ${since}: ${site.why}`;
  }
  if (state === "unknown") {
    return "being asked";
  }
  const here = Object.values(document.agents).filter((agent) => agent.site === name && agent.state !== "off").length;
  const words = [here ? many(here, "agent") : "no agent"];
  if (site.processors) {
    words.push(many(site.processors, "processor"));
  }
  if (site.memory_bytes) {
    words.push(`${bytes(site.memory_bytes)} of memory free`);
  }
  if (site.checked === false) {
    words.push("not checked yet");
  }
  return words.join(" · ");
}
