// Alerts that are on: at the top until they end, and counted in the page's title.

import { byId, make, timeOf } from "./dom.js";

export class Alerts {
  constructor() {
    this.list = byId("alerts");
    this.on = new Map(); // name -> since when, in the daemon's time, and how many faces
    this.title = document.title;
  }

  reset(title) {
    this.title = title;
    this.on.clear();
    this.show();
  }

  add(entries) {
    for (const { kind, name, on, at, faces } of entries) {
      if (kind !== "alert") continue;
      if (on) this.on.set(name, { at: this.on.get(name)?.at ?? at, faces: faces ?? 0 });
      else this.on.delete(name);
    }
    this.show();
  }

  show() {
    const lines = [...this.on].map(([name, { at, faces }]) =>
      make("li", "", `Alert ${name} is on since ${timeOf(at)}: ${faces === 1 ? "one face" : `${faces} faces`}`));
    this.list.replaceChildren(...lines);
    this.list.hidden = !lines.length;
    document.title = (lines.length ? `(${lines.length}) ` : "") + this.title;
  }
}
