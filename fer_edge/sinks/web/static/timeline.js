// The last ten minutes: a lane for each face that was there at a time, coloured by what was reported of it.

import { byId, make, now, tone, withUnit, words, write } from "./dom.js";

const SECONDS = 600;
const LANE = 24; // px
const GAP = 4;
const AXIS = 20;
const FEWEST_LANES = 4;

export class Timeline {
  constructor() {
    this.canvas = byId("timeline");
    this.stories = new Map(); // face -> its spans {from, to, name}, the last one open while it is here
    this.lostAt = null; // since when nothing is known of them
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    setInterval(() => document.hidden || this.draw(), 1000);
  }

  reset(labels) {
    this.labels = labels;
    this.stories.clear();
    this.lostAt = null;
    this.legend = new Map();
    byId("shares").replaceChildren(...[...labels, "none"].map((name) => this.share(name)));
    this.draw();
  }

  share(name) {
    const item = make("li");
    const swatch = make("span", name === "none" ? "swatch hatched" : "swatch");
    swatch.style.setProperty("--tone", tone(name));
    const text = make("span");
    item.append(swatch, text);
    this.legend.set(name, { item, text });
    return item;
  }

  add(entries) {
    for (const entry of entries) if (entry.face) this.note(entry);
    this.draw();
  }

  note({ at, kind, face, expression, reason }) {
    const story = this.stories.get(face) ?? [];
    this.stories.set(face, story);
    const last = story.at(-1);
    if (last && last.to === null) last.to = at;
    if (kind !== "end") story.push({ from: at, to: null, name: expression ?? "none", reason: reason ?? null });
  }

  // The connection is lost: who was here may have left.
  lose() {
    this.lostAt ??= now();
    this.draw();
  }

  draw() {
    if (!this.labels) return;
    const end = now();
    const until = this.lostAt ?? end; // of open spans
    const lanes = this.lanes(end, until);
    const width = this.canvas.clientWidth;
    const height = Math.max(FEWEST_LANES, lanes.length) * (LANE + GAP) + AXIS;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const x = (at) => width * (1 - (end - at) / SECONDS);
    drawAxis(pen, width, height, color);
    lanes.forEach((lane, index) => {
      const y = index * (LANE + GAP);
      for (const story of lane) for (const part of story) drawPart(pen, part, x, y, until, color);
    });
    this.sum(end, until);
  }

  // Faces that were never there at the same time share a lane; those older than the time line are forgotten.
  lanes(end, until) {
    const lanes = [];
    for (const [face, story] of this.stories) {
      const shown = story.filter((part) => (part.to ?? until) > end - SECONDS);
      if (!shown.length) {
        this.stories.delete(face);
        continue;
      }
      this.stories.set(face, shown);
      const free = lanes.find((lane) => (lane.at(-1).at(-1).to ?? until) < shown[0].from);
      if (free) free.push(shown);
      else lanes.push([shown]);
    }
    return lanes;
  }

  // The same in words and figures, which is the legend too.
  sum(end, until) {
    const spent = new Map();
    let all = 0;
    for (const story of this.stories.values()) {
      for (const { from, to, name } of story) {
        const time = Math.max(0, (to ?? until) - Math.max(from, end - SECONDS));
        spent.set(name, (spent.get(name) ?? 0) + time);
        all += time;
      }
    }
    for (const [name, { item, text }] of this.legend) {
      const share = all ? Math.round((100 * (spent.get(name) ?? 0)) / all) : 0;
      item.classList.toggle("none", share === 0);
      write(text, `${name === "none" ? "no expression" : name} ${withUnit(share, "%")}`);
    }
  }
}

function drawAxis(pen, width, height, color) {
  pen.strokeStyle = color("--line");
  pen.fillStyle = color("--soft");
  pen.font = "12px system-ui, sans-serif";
  pen.lineWidth = 1;
  const minutes = SECONDS / 60;
  for (let minute = 0; minute <= minutes; minute += width < 500 ? 5 : 2) {
    const x = Math.min(width - 0.5, Math.max(0.5, Math.round(width * (1 - minute / minutes)) + 0.5));
    pen.beginPath();
    pen.moveTo(x, 0);
    pen.lineTo(x, height - AXIS + 2);
    pen.stroke();
    pen.textAlign = minute === 0 ? "right" : minute === minutes ? "left" : "center";
    pen.fillText(minute ? `${minute} min ago` : "now", x, height - 4);
  }
}

function drawPart(pen, { from, to, name, reason }, x, y, until, color) {
  const left = Math.max(0, x(from));
  const wide = Math.max(1.5, x(to ?? until) - left);
  if (name === "none") hatch(pen, left, y, wide, color("--field"));
  else {
    pen.fillStyle = color(`--of-${name}`);
    pen.fillRect(left, y, wide, LANE);
  }
  if (wide > 3) {
    pen.strokeStyle = color("--edge");
    pen.strokeRect(left + 0.5, y + 0.5, wide - 1, LANE - 1);
  }
  label(pen, name === "none" ? words(reason ?? "") : name, left, y, wide, color);
}

function hatch(pen, left, y, wide, ink) {
  pen.save();
  pen.beginPath();
  pen.rect(left, y, wide, LANE);
  pen.clip();
  pen.strokeStyle = ink;
  for (let x = left - (left % 6) - LANE; x < left + wide; x += 6) {
    pen.beginPath();
    pen.moveTo(x, y + LANE);
    pen.lineTo(x + LANE, y);
    pen.stroke();
  }
  pen.restore();
}

function label(pen, text, left, y, wide, color) {
  pen.font = "12px system-ui, sans-serif";
  const room = pen.measureText(text).width + 10;
  if (!text || wide < room) return;
  pen.textAlign = "left";
  pen.fillStyle = color("--panel");
  pen.fillRect(left + 2, y + 4, room - 2, LANE - 8);
  pen.fillStyle = color("--ink");
  pen.fillText(text, left + 6, y + LANE / 2 + 4);
}
