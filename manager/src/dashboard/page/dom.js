// Elements, lists that are brought up to date, and words for numbers and times.

export const by = (id) => document.getElementById(id);

// An element with properties and children.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && typeof value !== "string") {
      element[name] = value;
    } else {
      element.setAttribute(name, value);
    }
  }
  element.append(...children);
  return element;
}

// Writes only what is new, so that a selection and a screen reader are left alone.
export function say(element, text) {
  const words = text ?? "";
  if (element.textContent !== words) {
    element.textContent = words;
  }
}

export function show(element, yes) {
  if (element.hidden === Boolean(yes)) {
    element.hidden = !yes;
  }
}

// Brings the children of a list to these items, in this order: each has a key, is made once and brought up to date.
export function keep(list, items, key, create, update) {
  const there = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let before = list.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = there.get(name);
    if (child) {
      there.delete(name);
    } else {
      child = create(item);
      child.dataset.key = name;
    }
    if (child === before) {
      before = before.nextElementSibling;
    } else {
      list.insertBefore(child, before);
    }
    update?.(child, item);
  }
  for (const child of there.values()) {
    child.remove();
  }
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(count) {
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

export const many = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

// A time that has passed, in words.
export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) {
    return `${seconds} s`;
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) {
    return `${minutes} min`;
  }
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : many(Math.round(hours / 24), "day");
}

const CLOCK = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
});
export const clock = (ms) => CLOCK.format(new Date(ms));
