// The log of events, the newest first.

import { byId, make, span, timeOf, tone, withUnit, words } from "./dom.js";

const LINES = 200;

export class Journal {
  constructor() {
    const log = byId("journal");
    this.list = log.firstElementChild;
    const aloud = byId("aloud");
    aloud.addEventListener("change", () => log.setAttribute("aria-live", aloud.checked ? "polite" : "off"));
  }

  reset() {
    this.newest = 0;
    this.list.replaceChildren();
    byId("quiet").hidden = false;
  }

  // Those that are new: one that comes while a page begins may come twice.
  add(entries) {
    const fresh = entries.filter((entry) => entry.n > this.newest);
    if (!fresh.length) return fresh;
    this.newest = fresh.at(-1).n;
    this.list.prepend(...fresh.slice(-LINES).map(line).reverse());
    while (this.list.children.length > LINES) this.list.lastChild.remove();
    byId("quiet").hidden = true;
    return fresh;
  }
}

function line(entry) {
  const item = make("li", entry.kind);
  const swatch = make("span", entry.expression ? "swatch" : entry.kind === "alert" ? "" : "swatch hatched");
  if (entry.expression) swatch.style.setProperty("--tone", tone(entry.expression));
  item.append(make("time", "", timeOf(entry.at)), swatch, make("span", "", said(entry)));
  return item;
}

function said({ kind, face, expression, reason, confidence, dwell, name, on, faces }) {
  const many = faces === 1 ? "one face" : `${faces ?? 0} faces`;
  if (kind === "alert") return `Alert ${name} is ${on ? `on (${many})` : "off"}`;
  if (kind === "enter") return `Face ${face} entered ${name}`;
  if (kind === "leave") return `Face ${face} left ${name} after ${span(dwell ?? 0)}`;
  if (kind === "end") return `Face ${face} left after ${span(dwell ?? 0)}`;
  const sure = withUnit(Math.round(100 * (confidence ?? 0)), "%");
  const shown = expression ? `${expression} ${sure}` : `no expression, ${words(reason ?? "waiting")}`;
  return kind === "start" ? `Face ${face} is here: ${shown}` : `Face ${face}: ${shown}`;
}
