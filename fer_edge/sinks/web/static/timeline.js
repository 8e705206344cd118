// The last ten minutes: a lane for each face that was there at a time, coloured by what was reported of it.

import { byId, make, now, span, tone, withUnit, words, write } from "./dom.js";

const SECONDS = 600;
const LANE = 24; // px
const GAP = 4;
const AXIS = 20;
const FEWEST_LANES = 4;
const SHORTEST_GAP = 1; // second; a shorter one is nothing that anybody could have come in

export class Timeline {
  constructor() {
    this.canvas = byId("timeline");
    this.stories = new Map(); // face -> its spans {from, to, name}, the last one open while it is here
    this.lostAt = null; // since when nothing is known of them
    this.begun = null; // when the daemon began
    this.gaps = []; // when the camera was away: {from, to}, the last one open while it is
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    setInterval(() => document.hidden || this.draw(), 1000);
  }

  reset(labels, { begun }) {
    this.labels = labels;
    this.begun = begun;
    this.gaps = [];
    this.stories.clear();
    this.lostAt = null;
    this.legend = new Map();
    byId("shares").replaceChildren(...[...labels, "none"].map((name) => this.share(name)));
    this.draw();
  }

  share(name) {
    const item = make("li");
    const swatch = make("span", name === "none" ? "swatch dotted" : "swatch");
    swatch.style.setProperty("--tone", tone(name));
    const text = make("span");
    item.append(swatch, text);
    this.legend.set(name, { item, text });
    return item;
  }

  add(entries) {
    for (const entry of entries) {
      if (entry.face) this.note(entry);
      else if (entry.kind === "away") this.gaps.push({ from: entry.at, to: null, why: "camera away" });
      else if (entry.kind === "back" && this.gaps.length) this.gaps.at(-1).to = entry.at;
    }
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

  // When nobody could have been seen: the daemon did not run, the camera was away, or the page was not connected.
  unseen(end) {
    const gaps = [{ from: -Infinity, to: this.begun, why: "daemon not running" }, ...this.gaps];
    if (this.lostAt !== null) {
      for (const gap of gaps) gap.to ??= this.lostAt;
      gaps.push({ from: this.lostAt, to: null, why: "not connected" });
    }
    return gaps
      .map(({ from, to, why }) => ({ from: Math.max(from, end - SECONDS), to: to ?? end, why }))
      .filter(({ from, to }) => to - from >= SHORTEST_GAP);
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
    const gaps = this.unseen(end);
    for (const gap of gaps) drawGap(pen, gap, x, height, color);
    drawAxis(pen, width, height, color);
    lanes.forEach((lane, index) => {
      const y = index * (LANE + GAP);
      for (const story of lane) for (const part of story) drawPart(pen, part, x, y, until, color);
    });
    this.sum(end, until);
    this.say(gaps, end);
  }

  // The hatched parts in words: what a picture shows, others must hear.
  say(gaps, end) {
    const parts = gaps.map(({ from, to, why }) => `${why} ${to >= end ? `for ${span(to - from)}, still` : `for ${span(to - from)} until ${span(end - to)} ago`}`);
    byId("gaps").hidden = !parts.length;
    write(byId("gaps-text"), parts.length ? `Hatched: nobody could be seen (${parts.join("; ")}).` : "");
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

  // Shares in words and figures, which is the legend too.
  sum(end, until) {
    const spent = new Map();
    let all = 0;
    byId("shares").hidden = !this.stories.size;
    for (const story of this.stories.values()) {
      for (const { from, to, name } of story) {
        const time = Math.max(0, (to ?? until) - Math.max(from, end - SECONDS));
        spent.set(name, (spent.get(name) ?? 0) + time);
        all += time;
      }
    }
    for (const [name, { item, text }] of this.legend) {
      const share = all ? Math.round((100 * (spent.get(name) ?? 0)) / all) : 0;
      item.hidden = share === 0;
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

function drawGap(pen, { from, to, why }, x, height, color) {
  const left = Math.max(0, x(from));
  const wide = Math.max(1.5, x(to) - left);
  pen.fillStyle = color("--ground");
  pen.fillRect(left, 0, wide, height - AXIS);
  hatch(pen, { left, top: 0, wide, high: height - AXIS }, color("--field"));
  label(pen, why, { left, top: height - AXIS - LANE, wide }, color);
}

function drawPart(pen, { from, to, name, reason }, x, y, until, color) {
  const left = Math.max(0, x(from));
  const wide = Math.max(1.5, x(to ?? until) - left);
  if (name === "none") dots(pen, { left, top: y, wide, high: LANE }, color);
  else {
    pen.fillStyle = color(`--of-${name}`);
    pen.fillRect(left, y, wide, LANE);
  }
  if (wide > 3) {
    pen.strokeStyle = color("--edge");
    pen.strokeRect(left + 0.5, y + 0.5, wide - 1, LANE - 1);
  }
  label(pen, name === "none" ? words(reason ?? "") : name, { left, top: y, wide }, color);
}

// Slanted lines: nobody could be seen.
function hatch(pen, { left, top, wide, high }, ink) {
  pen.save();
  pen.beginPath();
  pen.rect(left, top, wide, high);
  pen.clip();
  pen.strokeStyle = ink;
  for (let x = left - (left % 8) - high; x < left + wide; x += 8) {
    pen.beginPath();
    pen.moveTo(x, top + high);
    pen.lineTo(x + high, top);
    pen.stroke();
  }
  pen.restore();
}

// Dots: a face that showed no expression.
function dots(pen, { left, top, wide, high }, color) {
  pen.fillStyle = color("--panel");
  pen.fillRect(left, top, wide, high);
  pen.fillStyle = color("--field");
  for (let x = left + 3; x < left + wide - 1; x += 6) {
    for (let y = top + 4; y < top + high - 2; y += 6) pen.fillRect(x, y, 2, 2);
  }
}

function label(pen, text, { left, top: y, wide }, color) {
  pen.font = "12px system-ui, sans-serif";
  const room = pen.measureText(text).width + 10;
  if (!text || wide < room) return;
  pen.textAlign = "left";
  pen.fillStyle = color("--panel");
  pen.fillRect(left + 2, y + 4, room - 2, LANE - 8);
  pen.fillStyle = color("--ink");
  pen.fillText(text, left + 6, y + LANE / 2 + 4);
}
