// The header: the page is live only as far as what it shows is. What is not is shown with the reason, since when, and
// when it is tried next.

import { byId, make, now, span, timeOf, write } from "./dom.js";

const PARTS = [["camera", "Camera"], ["broker", "Broker"], ["board", "Board"]];

// The parts that are not well: key and name of each.
export const troublesOf = (health) => PARTS.filter(([key]) => isWrong(key, health[key]));

export function stateOf(health) {
  if (health.camera.state !== "good") return "No picture";
  return troublesOf(health).length ? "Not all is well" : "Live";
}

export class Header {
  constructor() {
    this.pills = new Map(PARTS.map(([key, name]) => [key, pill(name)]));
    this.lines = new Map(PARTS.map(([key, name]) => [key, new Line(name)]));
    this.list = byId("troubles");
    byId("parts").append(...[...this.pills.values()].map((each) => each.root));
    this.list.firstElementChild.append(...[...this.lines.values()].map((each) => each.root));
    setInterval(() => this.tick(), 1000);
    this.lose();
  }

  show(health) {
    const wrong = troublesOf(health);
    for (const [key, name] of PARTS) {
      const bad = isWrong(key, health[key]);
      this.pills.get(key).show(name, bad ? "bad" : health[key].state);
      this.lines.get(key).show(bad ? health[key] : null);
    }
    this.list.hidden = !wrong.length;
    byId("link").className = `pill ${wrong.length ? "bad" : "good"}`;
    write(byId("link-text"), stateOf(health));
    this.tick();
  }

  // The connection is lost: how they fare is not known.
  lose() {
    for (const [key, name] of PARTS) {
      this.pills.get(key).show(name, "unknown");
      this.lines.get(key).show(null);
    }
    this.list.hidden = true;
  }

  tick() {
    for (const line of this.lines.values()) line.tick();
  }
}

const WORDS = { good: "good", bad: "needs attention", waiting: "not known yet", off: "off", unknown: "not known" };

// A camera that is off on purpose shows nothing all the same.
function isWrong(key, { state }) {
  return state === "bad" || (state === "waiting" && key === "broker") || (state !== "good" && key === "camera");
}

function pill(name) {
  const root = make("li", "pill");
  const dot = make("span", "dot");
  dot.setAttribute("aria-hidden", "true");
  const word = make("span", "visually-hidden");
  root.append(dot, make("span", "", name), word);
  return {
    root,
    show(_, state) {
      root.className = `pill ${state}`;
      root.hidden = state === "off" || state === "unknown";
      write(word, `: ${WORDS[state]}`);
    },
  };
}

class Line {
  constructor(name) {
    this.name = name;
    this.root = make("li");
    this.what = make("strong");
    this.what.setAttribute("role", "alert"); // not the whole line: the seconds in it go on
    this.when = make("span", "when");
    this.root.append(this.what, " ", this.when);
    this.part = null;
  }

  show(part) {
    this.part = part;
    this.root.hidden = !part;
    write(this.what, part ? `${this.name}: ${part.text}` : "");
  }

  tick() {
    if (!this.part) return;
    const { since, retry_at: again } = this.part;
    const parts = [];
    if (typeof since === "number") parts.push(`since ${timeOf(since)} (${span(now() - since)})`);
    const verb = this.name === "Board" ? "read again" : "tried again";
    if (typeof again === "number") parts.push(again > now() ? `${verb} in ${span(again - now())}` : `being ${verb.replace(" again", "")} now`);
    write(this.when, parts.join("; "));
  }
}
