// The log of events, the newest first.

import { byId, make, nameOf, span, timeOf, tone, who, withUnit, words } from "./dom.js";

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
  const swatch = make("span", entry.expression ? "swatch" : entry.face ? "swatch dotted" : entry.kind === "away" ? "swatch hatched" : "");
  if (entry.expression) swatch.style.setProperty("--tone", tone(entry.expression));
  item.append(make("time", "", timeOf(entry.at)), swatch, make("span", "", describe(entry)));
  return item;
}

function describe({ kind, face, expression, reason, confidence, dwell, name, on, faces, who: ids }) {
  if (kind === "away") return `The camera is away${reason ? `: ${reason}` : ""}`;
  if (kind === "back") return "The camera is back";
  if (kind === "alert") return `Alert ${name} is ${on ? `on (${who(ids, faces)})` : "off"}`;
  const id = nameOf(face);
  if (kind === "enter") return `Face ${id} entered ${name}`;
  if (kind === "leave") return `Face ${id} left ${name} after ${span(dwell ?? 0)}`;
  if (kind === "end") return `Face ${id} left after ${span(dwell ?? 0)}`;
  const sure = withUnit(Math.round(100 * (confidence ?? 0)), "%");
  const shown = expression ? `${expression} ${sure}` : `no expression, ${words(reason ?? "waiting")}`;
  return kind === "start" ? `Face ${id} is here: ${shown}` : `Face ${id}: ${shown}`;
}
