// Alerts that are on: at the top until they end, counted in the page's title; where asked for, heard and notified.

import { byId, make, now, span, timeOf, who, write } from "./dom.js";

const KEPT = "fer-edge alerts"; // what was asked for, in this browser
const BEEPS = [[880, 0], [660, 0.25], [880, 0.5]]; // Hz, and when (seconds)

export class Alerts {
  constructor() {
    this.list = byId("alerts");
    this.on = new Map(); // name -> since when, in the daemon's time, which faces, and its line
    this.title = document.title;
    this.sound = new Choice("sound", () => this.beep());
    this.notes = new Choice("notify", allowed);
    setInterval(() => this.tick(), 1000);
  }

  reset(title) {
    this.title = title;
    this.on.clear();
    this.show();
  }

  // `news`: they happen now; those that a page hears when it begins are only shown.
  add(entries, { news }) {
    const begun = [];
    let changed = false;
    for (const { kind, name, on, at, faces, who: ids } of entries) {
      if (kind !== "alert") continue;
      if (on && !this.on.has(name)) {
        this.on.set(name, { at, text: who(ids, faces) });
        begun.push(name);
        changed = true;
      } else if (!on) changed = this.on.delete(name) || changed;
    }
    if (changed) this.show(); // only then: whatever is written here anew is read out anew
    const still = begun.filter((name) => this.on.has(name));
    if (news && still.length) this.notify(still);
  }

  show() {
    const lines = [...this.on].map(([name, alert]) => {
      alert.lasts = make("span", "when");
      alert.lasts.setAttribute("aria-hidden", "true"); // it changes each second, and would be read out
      const line = make("li", "", `Alert ${name} is on since ${timeOf(alert.at)}: ${alert.text} `);
      line.append(alert.lasts);
      return line;
    });
    this.list.replaceChildren(...lines);
    this.list.hidden = !lines.length;
    document.title = (lines.length ? `(${lines.length}) ` : "") + this.title;
    this.tick();
  }

  tick() {
    for (const { at, lasts } of this.on.values()) write(lasts, `for ${span(now() - at)}`);
  }

  notify(names) {
    if (this.sound.wanted) this.beep();
    if (!this.notes.wanted) return;
    for (const name of names) {
      new Notification(`Alert ${name} is on`, { body: `${this.title}: ${this.on.get(name).text}`, tag: `fer-edge ${name}` });
    }
  }

  beep() {
    this.audio ??= new AudioContext();
    this.audio.resume(); // a browser may hold it until the page was clicked on
    for (const [hertz, after] of BEEPS) {
      const tone = this.audio.createOscillator();
      const loud = this.audio.createGain();
      const at = this.audio.currentTime + after;
      tone.frequency.value = hertz;
      loud.gain.setValueAtTime(0.2, at);
      loud.gain.exponentialRampToValueAtTime(0.001, at + 0.2);
      tone.connect(loud).connect(this.audio.destination);
      tone.start(at);
      tone.stop(at + 0.2);
    }
    document.documentElement.dataset.beeps = Number(document.documentElement.dataset.beeps ?? 0) + 1;
    return "";
  }
}

// Whether notifications are possible and permitted; else why not. Browsers show them to encrypted pages only.
async function allowed() {
  if (!("Notification" in window) || !window.isSecureContext) return "Not possible: the browser wants https or this machine itself.";
  const answer = Notification.permission === "default" ? await Notification.requestPermission() : Notification.permission;
  return answer === "granted" ? "" : "Not allowed: the browser's settings for this page refuse it.";
}

// A box to tick, off at first and remembered by this browser. `test` is done when it is ticked: why it must not be.
class Choice {
  constructor(id, test) {
    this.box = byId(id);
    this.key = `${KEPT} ${id}`;
    this.box.checked = remembered(this.key) === "on" && (id !== "notify" || globalThis.Notification?.permission === "granted");
    this.box.addEventListener("change", async () => {
      const problem = this.box.checked ? await test() : "";
      if (problem) this.box.checked = false;
      write(byId("notify-problem"), problem);
      remember(this.key, this.box.checked ? "on" : "off");
    });
  }

  get wanted() {
    return this.box.checked;
  }
}

// A browser may forbid it to remember anything.
function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch { /* then it holds until the page is closed */ }
}
