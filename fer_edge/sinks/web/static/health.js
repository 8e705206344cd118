// How the daemon fares.

import { byId, make, withUnit, write } from "./dom.js";

const FIGURES = [
  ["fps", "Frame rate", (health) => figure(health.fps, "fps", 1)],
  ["latency", "Latency", (health) => figure(health.latency_ms, "ms", 0)],
  ["temperature", "Temperature", (health) => figure(health.temperature_c, "°C", 0)],
  ["memory", "Memory", (health) => figure(health.memory_mb, "MB", 0)],
  ["dropped", "Frames missed", (health) => figure(health.dropped, "", 0)],
  ["viewers", "Pages open", (health) => figure(health.viewers, "", 0)],
];
const PARTS = [["camera", "Camera"], ["broker", "Broker"]];

const figure = (value, unit, digits) => (value === null ? "–" : withUnit(value.toFixed(digits), unit).trim());

export class Health {
  constructor() {
    this.figures = new Map(FIGURES.map(([key, name, text]) => [key, { ...row(name, ""), text }]));
    this.parts = new Map(PARTS.map(([key, name]) => [key, part(name)]));
  }

  show(health) {
    for (const { value, text } of this.figures.values()) write(value, text(health));
    write(this.figures.get("fps").small, aim(health));
    write(this.figures.get("temperature").small, health.board);
    for (const [key, { value, text }] of this.parts) {
      const { state, text: said } = health[key];
      value.className = `pill ${state}`;
      write(text, said);
    }
  }

  // The connection is lost: what was, need not be.
  lose() {
    for (const { value, small } of this.figures.values()) {
      write(value, "–");
      write(small, "");
    }
    for (const { value, text } of this.parts.values()) {
      value.className = "pill";
      write(text, "not known");
    }
  }
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
  const root = make("div", "wide");
  const value = make("dd", "pill");
  const dot = make("span", "dot");
  dot.setAttribute("aria-hidden", "true");
  const text = make("span", "", "–");
  value.append(dot, text);
  root.append(make("dt", "", name), value);
  byId("health").append(root);
  return { value, text };
}
