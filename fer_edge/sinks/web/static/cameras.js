// The overview: of each camera its picture, its state and who is seen; a click leads to its own page.

import { draw, write } from "./dom.js";
import { Link } from "./link.js";

const LOST = { lost: "The connection to the daemon is lost. Trying again.", full: "Too many pages are open. Trying again." };

class Camera {
  constructor(root) {
    const find = (selector) => root.querySelector(selector);
    this.canvas = find("canvas");
    this.stage = find(".stage");
    this.notice = find(".notice");
    this.pill = find(".pill");
    this.state = find(".link-text");
    this.seen = find(".seen");
    this.on = find(".on");
    this.alerts = new Map();
    const receive = {
      hello: (message) => this.begin(message),
      news: (message) => this.take(message.entries),
      faces: (message) => this.faces(message.faces),
      health: (message) => this.showState(message.camera),
    };
    this.link = new Link({
      base: `camera/${root.dataset.camera}/`,
      onMessage: (message) => receive[message.type]?.(message),
      onPicture: (blob) => draw(this.canvas, blob),
      onState: (state) => { if (state !== "open") this.showState({ state: "lost", text: LOST[state] }); },
    });
  }

  begin(message) {
    this.alerts.clear();
    this.take(message.entries);
    this.faces([]);
  }

  // Alerts that are on.
  take(entries) {
    for (const entry of entries) if (entry.kind === "alert") this.alerts.set(entry.name, Boolean(entry.on));
    const names = [...this.alerts].filter(([, on]) => on).map(([name]) => name);
    write(this.on, names.length ? `Alert on: ${names.join(", ")}` : "");
    this.on.hidden = !names.length;
  }

  faces(faces) {
    const shown = faces.map((face) => face.expression).filter(Boolean);
    const count = faces.length === 1 ? "1 face" : `${faces.length} faces`;
    write(this.seen, shown.length ? `${count}: ${shown.join(", ")}` : count);
  }

  showState({ state, text }) {
    const well = state === "good";
    this.pill.className = `pill ${well ? "good" : "bad"}`;
    write(this.state, well ? "Live" : state === "lost" ? "Not connected" : "No picture");
    this.stage.classList.toggle("old", !well);
    write(this.notice, well ? "" : text[0].toUpperCase() + text.slice(1));
    if (!well) write(this.seen, "Not known");
  }
}

for (const root of document.querySelectorAll("[data-camera]")) new Camera(root);
