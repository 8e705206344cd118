// The state of the daemon.

import { byId, make, withUnit, write } from "./dom.js";

const FIGURES = [
  ["fps", "Frame rate", (health) => figure(health.fps, "fps", 1)],
  ["latency", "Latency", (health) => figure(health.latency_ms, "ms", 0)],
  ["temperature", "Temperature", (health) => figure(health.temperature_c, "°C", 0)],
  ["memory", "Memory", (health) => figure(health.memory_mb, "MB", 0)],
  ["dropped", "Frames missed", (health) => figure(health.dropped, "", 0)],
  ["viewers", "Pages open", (health) => figure(health.viewers, "", 0)],
];
const PARTS = [["camera", "Camera"], ["broker", "Broker"], ["board", "Board"]];
const NORMAL_FRAMES = 2; // a result may be so many frames late
const NORMAL_MS = 100; // or so late, whatever the frame rate
const SLOW = 3; // times as late is bad

const figure = (value, unit, digits) => (value === null ? "–" : withUnit(value.toFixed(digits), unit).trim());

export class Health {
  constructor() {
    this.figures = new Map(FIGURES.map(([key, name, text]) => [key, { ...row(name, ""), text }]));
    this.parts = new Map(PARTS.map(([key, name]) => [key, part(name)]));
  }

  show(health) {
    for (const { value, text } of this.figures.values()) write(value, text(health));
    write(this.figures.get("fps").small, aim(health));
    write(this.figures.get("dropped").small, health.damaged ? `and ${health.damaged} damaged` : "");
    const late = lateness(health);
    this.figures.get("latency").value.className = late.tone;
    write(this.figures.get("latency").small, late.text);
    for (const [key, { value, text }] of this.parts) {
      const { state, text: reason } = health[key];
      value.className = `pill ${state}`;
      write(text, reason);
    }
  }

  // The connection is lost: what was, need not be.
  lose() {
    for (const { value, small } of this.figures.values()) {
      value.className = "";
      write(value, "–");
      write(small, "");
    }
    for (const { value, text } of this.parts.values()) {
      value.className = "pill";
      write(text, "not known");
    }
  }
}

// What is normal depends on how often pictures come; a word beside the colour names it.
function lateness({ latency_ms: latency, target_fps: target }) {
  if (latency === null) return { tone: "", text: "" };
  const normal = Math.max(NORMAL_MS, NORMAL_FRAMES * 1000 / (target || Infinity));
  if (latency <= normal) return { tone: "fine", text: "normal" };
  return { tone: latency <= SLOW * normal ? "slow" : "bad", text: `slow: over ${withUnit(Math.round(normal), "ms")}` };
}

function aim({ target_fps: target, slowed }) {
  if (slowed) return `slowed to ${target?.toFixed(1) ?? "?"}: ${slowed}`;
  return target === null ? "" : `of ${target.toFixed(0)}`;
}

function row(name, className) {
  const root = make("div", className);
  const box = make("dd");
  const value = make("span", "", "–");
  const small = make("small");
  box.append(value, small);
  root.append(make("dt", "", name), box);
  byId("health").append(root);
  return { value, small };
}

function part(name) {
  const root = make("div", "part");
  const value = make("dd", "pill");
  const dot = make("span", "dot");
  dot.setAttribute("aria-hidden", "true");
  const text = make("span", "", "–");
  value.append(dot, text);
  root.append(make("dt", "", name), value);
  byId("health").append(root);
  return { value, text };
}
