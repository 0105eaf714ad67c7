// Lines that move, as SVG: time to the right, now at its end; a gap is a gap.

import { make, say, show } from "./dom.js";

export const SPAN_S = 300;
// Points further apart are not joined.
const GAP_S = 4;
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, properties) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) {
    element.setAttribute(name, value);
  }
  return element;
}

// The path of one number of each point, scaled to a width of `span` and a height of 1, y downwards.
export function path(samples, pick, end, span, most, closed) {
  let text = "";
  let last = null;
  let first = null;
  const close = () => {
    if (closed && last !== null) {
      text += `L${last} 1L${first} 1Z`;
    }
  };
  for (const at in samples) {
    const x = span - (end - at);
    const value = pick(samples[at]);
    if (x < 0 || value === null || value === undefined) {
      continue;
    }
    const y = 1 - Math.min(1, value / most);
    if (last === null || x - last > GAP_S) {
      close();
      first = x;
      text += `M${x} ${y.toFixed(4)}`;
    } else {
      text += `L${x} ${y.toFixed(4)}`;
    }
    last = x;
  }
  close();
  return text;
}

// A small line without axes.
export function spark() {
  const element = svg("svg", { class: "spark", viewBox: "0 0 60 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  element.append(svg("path", { "vector-effect": "non-scaling-stroke" }));
  return element;
}

export function drawSpark(element, samples, pick, end, most) {
  element.firstChild.setAttribute("d", path(samples, pick, end, 60, most, false));
}

// A figure of `lines` ({ name, pick, words, drawn }): `scale(greatest)` says what its upper edge is, `words` what a value is.
// One that is not drawn is only told, since it is on another scale.
export function chart(title, lines, scale) {
  const drawn = lines.filter((line) => line.drawn !== false);
  const keys = lines.map((line, at) => make("span", { class: drawn.includes(line) ? `key ink-${at}` : "key plain" }));
  const caption = make("figcaption", {}, make("b", {}, title), ...keys);
  const drawing = svg("svg", { viewBox: `0 0 ${SPAN_S} 1`, preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const y of [0, 0.5, 1]) {
    drawing.append(svg("line", { x1: 0, x2: SPAN_S, y1: y, y2: y }));
  }
  const paths = drawn.map((_, at) => [svg("path", { class: `area ink-${at}` }), svg("path", { class: `ink-${at}` })]);
  drawing.append(...paths.flat());
  const edge = make("span", { class: "most" });
  const none = make("span", { class: "none" }, "nothing is read");
  const plot = make("div", { class: "plot" }, drawing, edge, none);
  const axis = make("div", { class: "axis", "aria-hidden": "true" }, make("span", {}, "5 min ago"), make("span", {}, "now"));
  const element = make("figure", { class: "card chart", role: "img" }, caption, plot, axis);
  const update = (samples, end) => {
    let greatest = 0;
    let known = false;
    for (const at in samples) {
      if (end - at > SPAN_S) {
        continue;
      }
      for (const line of drawn) {
        const value = line.pick(samples[at]);
        if (value !== null && value !== undefined) {
          known = true;
          greatest = Math.max(greatest, value);
        }
      }
    }
    const most = scale(greatest);
    const newest = Object.values(samples).at(-1);
    const said = lines.map((line, at) => {
      const value = newest ? line.pick(newest) : null;
      const words = `${line.name} ${value === null || value === undefined ? "–" : line.words(value)}`;
      say(keys[at], words);
      return words;
    });
    drawn.forEach((line, at) => {
      paths[at][0].setAttribute("d", path(samples, line.pick, end, SPAN_S, most, true));
      paths[at][1].setAttribute("d", path(samples, line.pick, end, SPAN_S, most, false));
    });
    say(edge, lines[0].words(most));
    show(edge, known);
    show(none, !known);
    element.setAttribute("aria-label", known ? `${title}: ${said.join(", ")}` : `${title}: nothing is read`);
  };
  return { element, update };
}

// The next round number: 1, 2 or 5 times a power of ten, and no less than `least`.
export function round(greatest, least) {
  let step = least;
  for (let at = 0; step < greatest; at += 1) {
    step *= [2, 2.5, 2][at % 3];
  }
  return step;
}
