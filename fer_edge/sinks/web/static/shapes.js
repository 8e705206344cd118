// Zones and the region, drawn on the picture with the pointer or the keyboard.

import { byId, make, withUnit, write } from "./dom.js";

const REGION = "detector.region";
const STEP = 0.01; // of the picture, for each press of an arrow key
const LARGE = 0.05;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FRESH = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]];
const SVG = "http://www.w3.org/2000/svg";

const within = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
const percent = (value) => withUnit(Math.round(value * 100), "%");

export class Shapes {
  constructor(send) {
    this.send = send;
    this.shapes = { zones: {}, [REGION]: [0, 0, 1, 1] };
    this.draft = null; // {old, points, zone}: what is being drawn; `old`: its name until now, null for a new one
    this.board = byId("drawing");
    byId("shape-new").addEventListener("click", () => this.begin(null, FRESH));
    byId("shape-reset").addEventListener("click", () => this.ask({ zones: null, region: null }));
    byId("shape-add").addEventListener("click", () => this.divide());
    byId("shape-cancel").addEventListener("click", () => this.end());
    byId("shape-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.apply();
    });
    this.board.addEventListener("pointerdown", (event) => {
      if (event.target === this.board && event.isPrimary) this.divide(this.place(event));
    });
  }

  take(shapes) {
    this.shapes = shapes;
    const lines = Object.entries(shapes.zones).map(([name, zone]) =>
      this.line(name, `Zone ${name}: ${zone.points.length} corners`, () => this.begin(name, zone.points, zone), () => this.remove(name)));
    const [left, top, right, bottom] = shapes[REGION];
    const whole = shapes[REGION].join() === "0,0,1,1";
    const text = whole ? "Region: the whole picture" : `Region: ${percent(left)} to ${percent(right)} across, ${percent(top)} to ${percent(bottom)} down`;
    lines.push(this.line("region", text, () => this.begin(REGION, [[left, top], [right, bottom]])));
    byId("shape-list").replaceChildren(...lines);
  }

  line(name, text, edit, remove) {
    const item = make("li");
    const button = (word, act) => {
      const made = make("button", "small", word);
      made.type = "button";
      made.setAttribute("aria-label", `${word} ${name}`);
      made.addEventListener("click", act);
      return made;
    };
    item.append(make("span", "", text), button("Edit", edit), ...(remove ? [button("Delete", remove)] : []));
    return item;
  }

  begin(old, points, zone = {}) {
    this.draft = { old, zone, points: points.map(([x, y]) => [x, y]) };
    const region = old === REGION;
    byId("shape-form").hidden = false;
    byId("shape-name-label").hidden = region;
    byId("shape-name").required = !region;
    byId("shape-name").value = region ? "" : old ?? "";
    byId("shape-add").hidden = region;
    this.board.hidden = false;
    write(byId("shape-problem"), "");
    this.draw();
    (region || old ? this.board.querySelector(".corner") : byId("shape-name")).focus();
  }

  end() {
    this.draft = null;
    byId("shape-form").hidden = true;
    this.board.hidden = true;
    byId("shape-new").focus();
  }

  draw(focus = null) {
    const { points } = this.draft;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 1 1");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    this.outline = document.createElementNS(SVG, "polygon");
    svg.append(this.outline);
    this.corners = points.map((_, index) => this.corner(index));
    this.board.replaceChildren(svg, ...this.corners);
    points.forEach((_, index) => this.put(index));
    if (focus !== null) this.corners[focus].focus();
  }

  corner(index) {
    const root = make("button", "corner", String(index + 1));
    root.type = "button";
    root.addEventListener("keydown", (event) => this.press(event, index));
    root.addEventListener("pointerdown", (event) => root.setPointerCapture(event.pointerId));
    root.addEventListener("pointermove", (event) => {
      if (root.hasPointerCapture(event.pointerId)) this.move(index, this.place(event));
    });
    return root;
  }

  press(event, index) {
    const arrow = ARROWS[event.key];
    if (arrow) {
      const step = event.shiftKey ? LARGE : STEP;
      const [x, y] = this.draft.points[index];
      this.move(index, [x + arrow[0] * step, y + arrow[1] * step]);
    } else if (event.key === "Delete" && this.draft.old !== REGION && this.draft.points.length > 3) {
      this.draft.points.splice(index, 1);
      this.draw(Math.min(index, this.draft.points.length - 1));
    } else if (event.key === "Escape") this.end();
    else return;
    event.preventDefault();
  }

  place({ clientX, clientY }) {
    const { left, top, width, height } = this.board.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }

  move(index, [x, y]) {
    this.draft.points[index] = [within(x), within(y)];
    this.put(index);
  }

  // A corner where its point is, and the outline through all of them.
  put(index) {
    const { points, old } = this.draft;
    const [x, y] = points[index];
    const root = this.corners[index];
    root.style.left = `${100 * x}%`;
    root.style.top = `${100 * y}%`;
    root.setAttribute("aria-label", `Corner ${index + 1} of ${points.length}: ${percent(x)} from the left, ${percent(y)} from the top`);
    const [[left, top], [right, bottom]] = points;
    const around = old === REGION ? [[left, top], [right, top], [right, bottom], [left, bottom]] : points;
    this.outline.setAttribute("points", around.map((point) => point.join()).join(" "));
  }

  // Another corner: at a place, on the side that is nearest to it, or in the middle of the longest side.
  divide(place = null) {
    const { points, old } = this.draft;
    if (old === REGION) return;
    const sides = points.map((start, index) => ({ index, start, end: points[(index + 1) % points.length] }));
    const length = ({ start, end }) => Math.hypot(end[0] - start[0], end[1] - start[1]);
    const best = place
      ? sides.reduce((one, other) => (distance(place, other) < distance(place, one) ? other : one))
      : sides.reduce((one, other) => (length(other) > length(one) ? other : one));
    const [x, y] = place ?? [(best.start[0] + best.end[0]) / 2, (best.start[1] + best.end[1]) / 2];
    points.splice(best.index + 1, 0, [within(x), within(y)]);
    this.draw(best.index + 1);
  }

  apply() {
    const { old, zone, points } = this.draft;
    if (old === REGION) {
      const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]).sort((a, b) => a - b));
      return this.ask({ zones: this.shapes.zones, region: [xs[0], ys[0], xs[1], ys[1]] });
    }
    const name = byId("shape-name").value;
    if (name !== old && name in this.shapes.zones) return write(byId("shape-problem"), `There is a zone ${name} already.`);
    const changed = Object.entries(this.shapes.zones).map(([key, value]) => (key === old ? [name, { ...zone, points }] : [key, value]));
    if (old === null) changed.push([name, { points }]);
    return this.ask({ zones: Object.fromEntries(changed), region: this.shapes[REGION] });
  }

  remove(name) {
    const { [name]: _, ...others } = this.shapes.zones;
    this.ask({ zones: others, region: this.shapes[REGION] });
  }

  ask({ zones, region }) {
    if (!this.send({ type: "draw", zones, region })) write(byId("shape-problem"), "Not applied: there is no connection.");
  }

  reply({ problem }) {
    write(byId("shape-problem"), problem ?? "");
    if (!problem && this.draft) this.end();
  }
}

// Of a point from a side.
function distance([x, y], { start: [x0, y0], end: [x1, y1] }) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const along = Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
}
