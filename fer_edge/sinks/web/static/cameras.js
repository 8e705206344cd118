// The overview: of each camera its picture, its state and who is seen; a click leads to its own page.

import { draw, sentence, write } from "./dom.js";
import { stateOf, troublesOf } from "./header.js";
import { Link } from "./link.js";

const LOST = { lost: "The connection to the daemon is lost. Trying again.", full: "Too many pages are open. Trying again." };

const title = document.title;
const cameras = [];

// How many alerts are on, of all cameras.
function count() {
  const on = cameras.reduce((sum, camera) => sum + camera.alarms().length, 0);
  document.title = (on ? `(${on}) ` : "") + title;
}

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
    this.wrong = find(".wrong");
    this.alerts = new Map();
    const receive = {
      hello: (message) => this.begin(message),
      news: (message) => this.take(message.entries),
      faces: (message) => this.faces(message.faces),
      health: (message) => this.showHealth(message),
    };
    this.link = new Link({
      base: `camera/${root.dataset.camera}/`,
      onMessage: (message) => receive[message.type]?.(message),
      onPicture: (blob) => draw(this.canvas, blob),
      onState: (state) => { if (state !== "open") this.lose(LOST[state]); },
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
    const names = this.alarms();
    write(this.on, names.length ? `Alert on: ${names.join(", ")}` : "");
    this.on.hidden = !names.length;
    count();
  }

  alarms() {
    return [...this.alerts].filter(([, on]) => on).map(([name]) => name);
  }

  faces(faces) {
    const shown = faces.map((face) => face.expression).filter(Boolean);
    const count = faces.length === 1 ? "1 face" : `${faces.length} faces`;
    write(this.seen, shown.length ? `${count}: ${shown.join(", ")}` : count);
  }

  // Live only while camera, broker and board are well, as on the camera's own page.
  showHealth(health) {
    this.show(stateOf(health), health.camera.state === "good" ? "" : health.camera.text);
    const others = troublesOf(health).filter(([key]) => key !== "camera");
    this.say(others.map(([key, name]) => `${name}: ${health[key].text}`).join("; "));
  }

  // The connection is gone: what was on, is not known any more.
  lose(text) {
    this.alerts.clear();
    this.take([]);
    this.show("Not connected", text);
    this.say("");
  }

  show(state, why) {
    this.pill.className = `pill ${state === "Live" ? "good" : "bad"}`;
    write(this.state, state);
    this.stage.classList.toggle("old", Boolean(why));
    write(this.notice, sentence(why));
    if (why) write(this.seen, "Not known");
  }

  say(text) {
    write(this.wrong, text);
    this.wrong.hidden = !text;
  }
}

for (const root of document.querySelectorAll("[data-camera]")) cameras.push(new Camera(root));
